// A file of somebody's as it comes into a step by a command: inject, run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libmfdata/spool.hpp"

namespace mfdata::tools {

// A regular file, for reading.
Result<FileDescriptor> open_source(const std::string& path);
// Tags of NAME=VALUE; those of mfdata itself are refused.
Result<TagSet> parse_assignments(const std::vector<std::string>& assignments);
// A copy of the file stands before the step (plugin/step), durable, under this original name. `grown_to`: bytes that it has
// at least, the rest a hole.
Result<void> deposit(const Spool& spool, const std::string& source, const std::string& step, const std::string& name, const TagSet& tags,
                     std::uint64_t grown_to = 0);

}  // namespace mfdata::tools
