// A file out of a directory that somebody else writes at the same time, so that nothing but what stands there can be meant.
#pragma once

#include "libmfdata/disk.hpp"

namespace mfdata {

// The regular file with one link that stands at `path` below the directory `top` of the disk becomes `to`. No symbolic link on
// the way is followed, and what was looked at is what is moved. kBadData: there is a link, or it is no such file.
Result<void> take_out(const Disk& disk, const std::string& top, const std::string& path, const std::string& to);

}  // namespace mfdata
