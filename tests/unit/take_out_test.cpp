#include <doctest/doctest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <cstddef>
#include <fstream>

#include "libmfdata/take_out.hpp"
#include "place.hpp"

namespace fs = boost::filesystem;
using namespace mfdata;

namespace {

// From now on openat2(2) fails in this process, as where a kernel or a filter of system calls does not have it.
bool deny_openat2(int error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{sizeof filter / sizeof filter[0], filter};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return false;
  return ::syscall(SYS_openat2, -1, "", nullptr, 0) == -1 && errno == error;
}

// How many of the expectations do not hold; one bit each.
int wrong_ways(const Disk& disk) {
  int wrong = 0;
  auto expect = [&, bit = 1](const char* path, bool taken) mutable {
    const auto done = take_out(disk, "top", path, "taken");
    if (bool(done) != taken || (!taken && !done.is(Code::kBadData))) wrong |= bit;
    if (done) (void)disk.unlink("taken");
    bit *= 2;
  };
  expect("way/victim", false);
  expect("itself", false);
  expect("inner/deep/file", false);
  expect("mine/../mine/deep/file", false);
  expect("mine/deep/file", true);
  expect("file", true);
  return wrong;
}

}  // namespace

TEST_CASE("a file is taken out of a directory over no symbolic link, with openat2 and where the system has none") {
  for (const int error : {0, ENOSYS, EPERM}) {
    Place place;
    const std::string root = place.root.string();
    fs::create_directories(root + "/outside");
    fs::create_directories(root + "/top/mine/deep");
    for (const char* file : {"/outside/victim", "/top/mine/deep/file", "/top/file"}) std::ofstream(root + file) << "content";
    REQUIRE(::symlink((root + "/outside").c_str(), (root + "/top/way").c_str()) == 0);
    REQUIRE(::symlink((root + "/outside/victim").c_str(), (root + "/top/itself").c_str()) == 0);
    REQUIRE(::symlink("mine", (root + "/top/inner").c_str()) == 0);
    const auto disk = Disk::open(root);
    REQUIRE(disk);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(error != 0 && !deny_openat2(error) ? 200 : wrong_ways(*disk));
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(fs::exists(root + "/outside/victim"));
  }
}
