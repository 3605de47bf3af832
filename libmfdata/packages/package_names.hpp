// Which names may stand in a package, and which of a folder belong into one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mfdata {

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr std::size_t kMaxPackagedFiles = 20'000;
inline constexpr std::uint64_t kMaxPackagedBytes = 2'000'000'000;

// Why a path may not stand in a package; empty: it may.
std::string wrong_path(std::string_view path);

// The patterns of a .releaseignore: as .gitignore's. "*" and "?" stop at "/", "**" does not; a pattern with a "/" before its end
// begins at the folder, others match at every depth; "/" at the end is for directories; "!" takes back; the last one that
// matches decides.
class ReleaseIgnore {
 public:
  explicit ReleaseIgnore(std::string_view text);
  bool ignores(const std::string& path, bool is_directory) const;

 private:
  struct Pattern {
    std::string glob;
    bool anchored = false, directory = false, negated = false;
  };
  std::vector<Pattern> patterns_;
};

}  // namespace mfdata
