#include "libmfdata/child_process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <sstream>
#include <string_view>

#include "libmfdata/clock.hpp"
#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/home.hpp"

namespace mfdata {

constexpr std::size_t kMaxOutput = 1 << 20;

static double now_s() { return static_cast<double>(monotonic_ns()) * 1e-9; }

// Keeps what it prints until it has ended, whoever still holds its output; false when the time is over before.
static bool read_until_ended(pid_t pid, int file, double until_s, std::string& output) {
  const FileDescriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  std::array<char, 4096> block;
  bool open = true;
  while (true) {
    pollfd both[] = {{ended.get(), POLLIN, 0}, {open ? file : -1, POLLIN, 0}};
    const int left_ms = static_cast<int>((until_s - now_s()) * 1000);
    if (left_ms <= 0) return false;
    if (::poll(both, 2, left_ms) <= 0) continue;
    if (both[1].revents != 0) {
      const ssize_t got = ::read(file, block.data(), block.size());
      open = got > 0;
      if (open && output.size() < kMaxOutput) output.append(block.data(), static_cast<std::size_t>(got));
    } else if (both[0].revents != 0) {
      return true;  // all that it wrote itself has been read
    }
  }
}

std::set<pid_t> children_of_this_process() {
  std::set<pid_t> all;
  boost::system::error_code code;
  for (boost::filesystem::directory_iterator task("/proc/self/task", code), end; !code && task != end; task.increment(code)) {
    std::istringstream names(small_file(task->path() / "children").value_or(""));
    for (pid_t pid = 0; names >> pid;) all.insert(pid);
  }
  return all;
}

static int await(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

void end_children_but(const std::set<pid_t>& before) {
  for (bool found = true; found;) {
    found = false;
    for (const pid_t pid : children_of_this_process()) {
      if (before.contains(pid)) continue;
      found = true;
      ::kill(pid, SIGKILL);
      await(pid);
    }
  }
}

// In the child; only what is safe after fork(2).
[[noreturn]] static void become(const std::vector<char*>& arguments, const std::vector<char*>& environment, const ChildOptions& options, int output) {
  ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::umask(022);
  const int null = ::open("/dev/null", O_RDONLY);
  const bool ready = ::dup2(null, STDIN_FILENO) >= 0 && ::dup2(output, STDOUT_FILENO) >= 0 && ::dup2(output, STDERR_FILENO) >= 0 &&
                     (options.directory.empty() || ::chdir(options.directory.c_str()) == 0);
  if (ready) {
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    ::execve(arguments[0], arguments.data(), environment.data());
  }
  constexpr char kText[] = "cannot be started here\n";
  (void)!::write(STDERR_FILENO, kText, sizeof kText - 1);
  ::_exit(127);
}

static std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  return all;
}

Result<ChildResult> run_child(const std::vector<std::string>& argv, const ChildOptions& options) {
  std::array<int, 2> pipe;
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return system_error(errno, "cannot make a pipe");
  FileDescriptor output(pipe[0]), input(pipe[1]);
  std::vector<char*> arguments = pointers_to(argv), environment = pointers_to(options.environment);
  for (char** variable = environ; options.inherits && *variable; ++variable) {
    const std::string_view own(*variable);
    const std::string_view name = own.substr(0, own.find('=') + 1);
    const bool replaced = std::any_of(options.environment.begin(), options.environment.end(), [&](const std::string& one) { return one.starts_with(name); });
    if (!replaced) environment.push_back(*variable);
  }
  arguments.push_back(nullptr);
  environment.push_back(nullptr);
  const std::set<pid_t> before = children_of_this_process();
  const pid_t pid = ::fork();
  if (pid < 0) return system_error(errno, "cannot start " + argv[0]);
  if (pid == 0) become(arguments, environment, options, input.get());
  int adopts = 0;
  ::prctl(PR_GET_CHILD_SUBREAPER, &adopts, 0, 0, 0);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  input.close();
  ChildResult result;
  const bool in_time = read_until_ended(pid, output.get(), now_s() + options.timeout_s, result.output);
  if (!in_time) ::kill(-pid, SIGKILL);
  siginfo_t ended;
  while (::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  ::kill(-pid, SIGKILL);  // whatever it left behind
  const int status = await(pid);
  end_children_but(before);  // what ran in sessions of its own has come to this process
  ::prctl(PR_SET_CHILD_SUBREAPER, adopts, 0, 0, 0);
  if (!in_time)
    return Error{Code::kLimit, 0, argv[0] + " took longer than " + std::to_string(static_cast<int>(options.timeout_s)) + " s and was killed"};
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace mfdata
