// How many files each step (dotted) has in trash: directories are visited, never held in memory.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "libmfdata/spool.hpp"

namespace mfdata {

// `go_on` is asked before each file; kBusy when it says no: the count is not whole.
Result<std::map<std::string, std::size_t>> count_trash(const Spool& spool, const std::function<bool()>& go_on);

}  // namespace mfdata
