#include "scratch.hpp"

#include <sys/file.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace fs = std::filesystem;
namespace sdk = mfdata::sdk;

namespace exec_protocol {
namespace {

constexpr const char* kPrefix = "mfdata-exec.";

int open_directory(const std::string& path) {
  return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

// Those of ours that no process has locked any more.
void remove_left_over(const std::string& parent) {
  std::error_code code;
  for (fs::directory_iterator at(parent, code), end; !code && at != end; at.increment(code)) {
    if (!at->path().filename().string().starts_with(kPrefix)) continue;
    const sdk::detail::Descriptor directory(open_directory(at->path().string()));
    struct stat st;
    if (directory.get() < 0 || ::fstat(directory.get(), &st) != 0 || st.st_uid != ::geteuid()) continue;
    if (::flock(directory.get(), LOCK_EX | LOCK_NB) != 0) continue;
    std::error_code ignored;
    fs::remove_all(at->path(), ignored);
  }
}

}  // namespace

Scratch::Scratch(const std::string& asked) {
  const char* of_the_system = std::getenv("TMPDIR");
  const std::string parent = !asked.empty() ? asked : of_the_system && *of_the_system ? of_the_system : "/tmp";
  remove_left_over(parent);
  for (int attempt = 0; attempt < 10; ++attempt) {  // another process may take it for one that was left
    path_ = parent + '/' + kPrefix + "XXXXXX";
    if (!::mkdtemp(path_.data())) break;
    lock_.reset(open_directory(path_));
    struct stat st;
    if (lock_.get() >= 0 && ::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0 && ::stat(path_.c_str(), &st) == 0) return;
  }
  throw sdk::Error(MFDATA_E_IO, "deposit_dir: cannot make a directory in " + parent + ": " + std::strerror(errno) +
                                    " (make it, or name another one)");
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace exec_protocol
