// For plugins of tests: what passes a gate waits until a file of that name is there (an empty name: not at all). So a test
// has a file in hand for exactly as long as it wants. Two minutes at most, so that nothing stays of a test that failed.
#pragma once
#include <unistd.h>

#include <string>

inline void pass_gate(const std::string& path) {
  for (int tries = 0; tries < 12'000 && !path.empty() && ::access(path.c_str(), F_OK) != 0; ++tries) ::usleep(10'000);
}
