#include "worker/worker_process_setup.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace mfdata {

static Result<void> limit(__rlimit_resource resource, std::uint64_t value, const char* name) {
  if (value == 0) return {};
  rlimit wanted{value, value};
  rlimit now;
  if (::getrlimit(resource, &now) == 0 && now.rlim_max < value && ::geteuid() != 0) wanted = {now.rlim_max, now.rlim_max};
  if (::setrlimit(resource, &wanted) != 0) return system_error(errno, std::string("cannot set ") + name);
  return {};
}

// Above what a loop of closes reaches where there is room for that; most of the numbers stay the plugin's.
static int first_lasting_descriptor() {
  constexpr rlim_t kBeyondLoops = 2048, kRoomy = 2 * kBeyondLoops;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<int>(limit.rlim_cur >= kRoomy ? kBeyondLoops : limit.rlim_cur - limit.rlim_cur / 4);
}

Result<void> set_up_process(const Home& home, const ResourceLimits& limits, bool locks) {
  const char* parent = std::getenv("MFDATA_LOADER_PID");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (parent && std::to_string(::getppid()) != parent) return Error{Code::kGone, 0, "the loader is gone"};
  ::umask(kUmask);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  MFDATA_TRY(limit(RLIMIT_NOFILE, limits.open_files, "rlimit_nofile"));
  lasting_descriptors_from = first_lasting_descriptor();
  if (locks) {
    auto lock = lock_file(home.workers_lock(), false, true);
    if (!lock) return lock.error();
    (void)lasting(std::move(*lock), true).release();
  }
  MFDATA_TRY(limit(RLIMIT_AS, limits.address_space, "rlimit_as"));
  MFDATA_TRY(limit(RLIMIT_STACK, limits.stack, "rlimit_stack"));
  return limit(RLIMIT_FSIZE, limits.file_size, "rlimit_fsize");
}

}  // namespace mfdata
