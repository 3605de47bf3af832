// Child processes: a short-lived program run to its end, with what it printed; and which children there are.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "libmfdata/result.hpp"

namespace mfdata {

struct ChildResult {
  int exit_code = 0;   // 128 + the signal when it was killed
  std::string output;  // standard output and standard error; at most 1 MiB
};

struct ChildOptions {
  double timeout_s = 60;
  std::string directory;                 // where it runs; empty: here
  std::vector<std::string> environment;  // "NAME=VALUE", in place of this process's variables of those names
  bool inherits = true;                  // the other variables of this process
};

// `argv[0]` is an absolute path. It runs in a session of its own, with the usual umask and signals; after its
// time that is killed (an error then), and what is left of it when it has ended, in other sessions too. Nothing else of this
// process may start children meanwhile.
Result<ChildResult> run_child(const std::vector<std::string>& argv, const ChildOptions& options);

// The children of this process now, of all its threads (proc(5)); also those that came to it when their parent ended.
std::set<pid_t> children_of_this_process();

// Kills and reaps all others of them, and those that come to this process (a subreaper, prctl(2)) meanwhile.
void end_children_but(const std::set<pid_t>& before);

}  // namespace mfdata
