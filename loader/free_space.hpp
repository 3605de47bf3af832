// Whether there is room for more: the reserves of [data] min_free_space and min_free_inodes.
#pragma once

#include <sys/statvfs.h>

#include <string>

#include "libmfdata/settings.hpp"

namespace mfdata {

// For those who are not root. {-1, -1}: it cannot be told.
struct FreeSpace {
  double bytes = -1, inodes = -1;
};
inline FreeSpace free_space(const std::string& directory) {
  struct statvfs fs;
  if (::statvfs(directory.c_str(), &fs) != 0) return {};
  return {static_cast<double>(fs.f_bavail) * static_cast<double>(fs.f_frsize), static_cast<double>(fs.f_favail)};
}

// False when one of the reserves is touched. A filesystem that counts no inodes has enough.
inline bool has_free_space(const std::string& directory, const Reserve& space, const Reserve& inodes) {
  struct statvfs fs;
  if (::statvfs(directory.c_str(), &fs) != 0) return true;
  const auto below = [](const Reserve& reserve, double free, double all) {
    return reserve.share >= 0 ? free < reserve.share * all : free < static_cast<double>(reserve.absolute);
  };
  const double block = static_cast<double>(fs.f_frsize);
  if (below(space, static_cast<double>(fs.f_bavail) * block, static_cast<double>(fs.f_blocks) * block)) return false;
  return fs.f_files == 0 || !below(inodes, static_cast<double>(fs.f_favail), static_cast<double>(fs.f_files));
}

}  // namespace mfdata
