#include "libmfdata/filesystem_kind.hpp"

#include <sys/vfs.h>

#include <array>
#include <cstdio>

namespace mfdata {
namespace {

struct Known {
  std::uint64_t magic;
  const char* name;
  bool local;
};

// linux/magic.h, and the sources of those that do not stand there. FUSE may be anything.
constexpr std::array kKnown = {
    Known{0xEF53, "ext4", true},
    Known{0x58465342, "XFS", true},
    Known{0x9123683E, "Btrfs", true},
    Known{0x01021994, "tmpfs", true},
    Known{0x858458F6, "ramfs", true},
    Known{0x794C7630, "overlayfs", true},
    Known{0x2FC12FC1, "ZFS", true},
    Known{0xF2F52010, "F2FS", true},
    Known{0xCA451A4E, "bcachefs", true},
    Known{0x3153464A, "JFS", true},
    Known{0x52654973, "ReiserFS", true},
    Known{0x3434, "NILFS2", true},
    Known{0x24051905, "UBIFS", true},
    Known{0x72B6, "JFFS2", true},
    Known{0xF15F, "eCryptfs", true},
    Known{0x4D44, "FAT", true},
    Known{0x2011BAB0, "exFAT", true},
    Known{0x5346544E, "NTFS", true},
    Known{0x7366746E, "NTFS3", true},
    Known{0x482B, "HFS+", true},
    Known{0x6969, "NFS", false},
    Known{0x517B, "SMB", false},
    Known{0xFF534D42, "SMB (CIFS)", false},
    Known{0xFE534D42, "SMB2", false},
    Known{0x65735546, "FUSE", false},
    Known{0x01021997, "9P", false},
    Known{0x0BD00BD0, "Lustre", false},
    Known{0x47504653, "GPFS", false},
    Known{0x00C36400, "CephFS", false},
    Known{0x7461636F, "OCFS2", false},
    Known{0x01161970, "GFS2", false},
    Known{0x5346414F, "AFS", false},
    Known{0x6B414653, "AFS", false},
    Known{0x786F4256, "vboxsf", false},
    Known{0x19830326, "BeeGFS", false},
};

}  // namespace

FilesystemKind filesystem_kind(std::uint64_t magic) {
  for (const Known& known : kKnown) {
    if (known.magic == magic) return {known.name, known.local};
  }
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), "an unknown filesystem (0x%llx)",
                static_cast<unsigned long long>(magic));
  return {text.data(), false};
}

// f_type is signed on some machines: only its lower half says which filesystem it is.
static FilesystemKind kind_of(const struct statfs& fs) {
  return filesystem_kind(static_cast<std::uint32_t>(fs.f_type));
}

std::optional<FilesystemKind> filesystem_of(const std::string& path) {
  struct statfs fs;
  if (::statfs(path.c_str(), &fs) != 0) return std::nullopt;
  return kind_of(fs);
}

std::optional<FilesystemKind> filesystem_of(int file) {
  struct statfs fs;
  if (::fstatfs(file, &fs) != 0) return std::nullopt;
  return kind_of(fs);
}

}  // namespace mfdata
