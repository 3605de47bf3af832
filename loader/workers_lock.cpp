#include "workers_lock.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cstdlib>
#include <vector>

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

constexpr int kPatienceMs = 10'000;
constexpr int kKillPatienceMs = 5'000;
constexpr int kStepMs = 50;

// Processes that have the lock file open, but this one.
std::vector<pid_t> holders(const fs::path& lock) {
  std::vector<pid_t> all;
  boost::system::error_code code;
  const fs::path canonical = fs::canonical(lock, code);
  for (fs::directory_iterator process("/proc", code), end; !code && process != end; process.increment(code)) {
    const pid_t pid = static_cast<pid_t>(std::atoi(process->path().filename().c_str()));
    if (pid <= 0 || pid == ::getpid()) continue;
    boost::system::error_code unreadable;
    for (fs::directory_iterator file(process->path() / "fd", unreadable); !unreadable && file != end; file.increment(unreadable)) {
      boost::system::error_code gone;
      if (fs::read_symlink(file->path(), gone) != canonical) continue;
      all.push_back(pid);
      break;
    }
  }
  return all;
}

bool is_ours(pid_t pid) {
  struct stat st;
  return ::stat(("/proc/" + std::to_string(pid)).c_str(), &st) == 0 && st.st_uid == ::geteuid();
}

// The lock, or kBusy after so long.
Result<FileDescriptor> wait_for(const fs::path& path, int patience_ms) {
  for (int waited = 0;; waited += kStepMs) {
    auto lock = lock_file(path, true, false);
    if (lock || !lock.is(Code::kBusy) || waited >= patience_ms) return lock;
    const timespec pause{0, kStepMs * 1'000'000L};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

Result<FileDescriptor> lock_workers_alone(const Home& home) {
  auto lock = wait_for(home.workers_lock(), kPatienceMs);
  if (lock || !lock.is(Code::kBusy)) return lock;
  for (const pid_t pid : holders(home.workers_lock())) {
    if (is_ours(pid)) ::kill(pid, SIGKILL);
  }
  lock = wait_for(home.workers_lock(), kKillPatienceMs);
  if (lock || !lock.is(Code::kBusy)) return lock;
  std::string names;
  for (const pid_t pid : holders(home.workers_lock())) names += ' ' + std::to_string(pid);
  return Error{Code::kBusy, 0, "workers of an earlier loader are still running and cannot be killed: end the processes" + names};
}

}  // namespace mfdata
