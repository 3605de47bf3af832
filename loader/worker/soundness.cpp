#include "worker/soundness.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "libmfdata/file_descriptor.hpp"
#include "worker/worker_process_setup.hpp"

namespace mfdata {
namespace {

rlim_t soft_limit(__rlimit_resource resource) {
  rlimit limit{};
  return ::getrlimit(resource, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

std::string lowered(const char* name, rlim_t before, rlim_t now) {
  return std::string("the plugin has lowered ") + name + " from " +
         (before == RLIM_INFINITY ? "unlimited" : std::to_string(before)) + " to " + std::to_string(now);
}

}  // namespace

Soundness::Soundness() : open_files_(soft_limit(RLIMIT_NOFILE)), file_size_(soft_limit(RLIMIT_FSIZE)) {}

void Soundness::watch(int descriptor, std::string what) {
  struct stat st {};
  if (::fstat(descriptor, &st) == 0) watched_.push_back({descriptor, std::move(what), st.st_dev, st.st_ino});
}

std::string Soundness::lowered_limit() const {
  if (const rlim_t now = soft_limit(RLIMIT_NOFILE); now < open_files_) return lowered("RLIMIT_NOFILE", open_files_, now);
  if (const rlim_t now = soft_limit(RLIMIT_FSIZE); now < file_size_) return lowered("RLIMIT_FSIZE", file_size_, now);
  return "";
}

std::string Soundness::trouble() const {
  for (const Watched& one : watched_) {
    struct stat st {};
    if (::fstat(one.descriptor, &st) != 0) return "the plugin has closed the descriptor of " + one.what;
    if (st.st_dev != one.device || st.st_ino != one.inode) {
      return "the plugin has closed the descriptor of " + one.what + ", and its number is that of another file now";
    }
  }
  if (const std::string limit = lowered_limit(); !limit.empty()) return limit;
  if (!FileDescriptor(::open("/", O_PATH | O_CLOEXEC)) && errno == EMFILE) {
    return "the plugin has used up all descriptors of its process (RLIMIT_NOFILE is " + std::to_string(open_files_) + ')';
  }
  const mode_t mask = ::umask(kUmask);
  return mask == kUmask ? "" : "the plugin has changed the umask of its process";
}

}  // namespace mfdata
