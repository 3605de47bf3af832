// Accept: a file that stands in a watched directory (or under a foreign name in a step directory) becomes ours.
//
// The checks are made on an open descriptor, then the context of generation 0 is written, then one rename moves the
// file into the slot; that rename is the accept (model: Spool.accept). What the file brought in user.mfdata.* is
// dropped. A swapped name is noticed after the rename, and the newcomer is put back as an arrival.
#pragma once

#include <cstdint>
#include <string>

#include "libmfdata/spool.hpp"

namespace mfdata {

// How the reasons of two kinds of refusals begin: the file itself, or its directory, does not let it be moved.
inline constexpr const char* kImmovable = "it cannot be moved";
inline constexpr const char* kClosedDirectory = "its directory does not let it go";

struct ArrivalRules {
  std::uint64_t max_file_size = 100'000'000'000;  // bytes
};

// `directory` is relative to the data directory, or absolute. Errors, none of which changes the file:
//   kGone     somebody else took it       kBusy     somebody has it open for writing
//   kRefused  not a regular file, more than one link, too large, not readable: it stays where it is
//   kForeign  it may not be tagged, nor asked whether it is being written, or stands on another filesystem:
//             accept_foreign takes it
//   kNoSpace  the disk is full
Result<Job> accept(const Spool& spool, const Slot& slot, const std::string& directory, const std::string& filename,
                   const ArrivalRules& rules);

// The tags that a file gets once, when it enters: first.core.original_{basename,dirname,uid}.
TagSet first_tags(const std::string& directory, const std::string& filename, const std::string& uid);

// The reason of a rename out of `directory` that failed, as kRefused where it is the file's or the directory's; else as it was.
Error why_immovable(const Disk& disk, const std::string& directory, const std::string& path, const Error& error);
// The reason why a file may not be read, and what to do.
std::string why_unreadable(const struct stat& status);

// The checks that need no lease: regular file, one link, size. Fills status and file.
Result<void> inspect_arrival(const Disk& disk, const std::string& path, const ArrivalRules& rules, Job& job);

}  // namespace mfdata
