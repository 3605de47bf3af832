// A file of somebody's as it comes into a step by a command: inject, run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "libmfdata/spool.hpp"

namespace mfdata::tools {

// A regular file, for reading.
Result<FileDescriptor> open_source(const std::string& path);
// Tags of NAME=VALUE; those of mfdata itself are refused.
Result<TagSet> parse_assignments(const std::vector<std::string>& assignments);
struct DepositOptions {
  std::uint64_t grown_to = 0;  // bytes that it has at least, the rest a hole
  std::string directory;       // that it comes from; empty: that of the source
  std::function<Result<void>(const std::string& uid)> before_commit;  // is told its uid before anybody can see it
};
// A copy of the file stands before the step (plugin/step), durable, under this original name.
Result<void> deposit(const Spool& spool, const std::string& source, const std::string& step, const std::string& name, const TagSet& tags,
                     const DepositOptions& options = {});
// From an open file: `source` is its name.
Result<void> deposit_from(const Spool& spool, int from, const std::string& source, const std::string& step, const std::string& name, const TagSet& tags,
                          const DepositOptions& options);

}  // namespace mfdata::tools
