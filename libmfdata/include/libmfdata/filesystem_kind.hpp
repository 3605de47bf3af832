// Which filesystem a path stands on, and whether everything that changes it runs on this machine.
//
// Others change a remote filesystem without an event of inotify(7) and without a lease of fcntl(2)
// noticing. A filesystem counts as local only when it is known to be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace mfdata {

struct FilesystemKind {
  std::string name;  // for people: "NFS", or "an unknown filesystem (0x1234)"
  bool local = false;
};

FilesystemKind filesystem_kind(std::uint64_t magic);  // f_type of statfs(2)

// Nothing when the system does not tell.
std::optional<FilesystemKind> filesystem_of(const std::string& path);
std::optional<FilesystemKind> filesystem_of(int file);

}  // namespace mfdata
