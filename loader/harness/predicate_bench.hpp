// One question to a predicate of a plugin in a test: compiled for it, asked about a copy of the file, destroyed.
#pragma once

#include "harness/test_room.hpp"

namespace mfdata {

// "yes", "no" or "error" with its reason; "not started" when it does not compile.
Result<void> ask_predicate(TestRoom& room, const std::string& pattern, const TestFile& file, KeptResult& result);

}  // namespace mfdata
