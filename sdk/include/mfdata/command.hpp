// mfdata/command.hpp - runs a command for a file: an argument vector without a shell, its own process group, bounded in
// time and in what it may write; and the texts of one, with placeholders. Header-only; for plugins in C++20.
#pragma once

#include <fcntl.h>
#include <mfdata/naming.hpp>
#include <mfdata/plugin.hpp>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace mfdata::sdk {

struct Command {
  std::vector<std::string> arguments;  // the first one is the program: a path, or a name to be found in PATH
  std::string directory;               // where it runs; empty: as the worker
  std::vector<std::string> environment;  // NAME=VALUE, beside the worker's, and instead of its own of that name
  std::int64_t deadline_ns = 0;        // CLOCK_MONOTONIC at which it is told to stop (SIGTERM), and killed 2 s later; 0: none
  std::size_t max_output = 1 << 20;    // bytes of stdout that are kept; more is an error
  std::size_t max_errors = 4096;       // the last bytes of stderr that are kept
};

// The texts of a key like `command`, each a Template: made when the plugin starts, filled for each file. Throws Error for a
// placeholder that is not among `known`.
class CommandTemplate {
 public:
  CommandTemplate(const std::string& key, const std::vector<std::string>& texts, const std::vector<std::string>& known) {
    for (const std::string& text : texts) texts_.emplace_back(key, text, known, Template::Kind::kCommand);
  }
  bool empty() const { return texts_.empty(); }
  template <class ValueOf>
  std::vector<std::string> filled(ValueOf&& value_of) const {
    std::vector<std::string> all;
    for (const Template& text : texts_) all.push_back(text.filled(value_of));
    return all;
  }
  // Of a command without a file.
  std::vector<std::string> plain() const {
    return filled([](const std::string&) { return std::string(); });
  }

 private:
  std::vector<Template> texts_;
};

namespace detail {

inline std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

}  // namespace detail

// When a command of this call is to be ended: after `timeout_s` seconds (0: none), and always so that there is time to end
// it before the host ends this worker. CLOCK_MONOTONIC nanoseconds; 0: never.
inline std::int64_t command_deadline(const Context& context, double timeout_s) {
  constexpr std::int64_t kMargin = 5'000'000'000;  // for SIGTERM, SIGKILL, and the end of the step
  const std::int64_t now = detail::monotonic_ns(), host = context.host()->deadline_ns(context.raw());
  const std::int64_t ours = timeout_s > 0 ? now + static_cast<std::int64_t>(timeout_s * 1e9) : 0;
  if (host == 0) return ours;
  const std::int64_t left = host - now, latest = now + (left - kMargin > left / 2 ? left - kMargin : left / 2);
  return ours > 0 && ours < latest ? ours : latest;
}

// How a process ended, of waitpid(2).
inline std::string ending_text(int status) {
  return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ')'
                             : "exit code " + std::to_string(WEXITSTATUS(status));
}

struct CommandResult {
  int status = 0;          // of waitpid(2)
  bool timed_out = false;
  bool too_much = false;   // it wrote more than max_output
  std::string output, errors;

  bool succeeded() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0 && !timed_out && !too_much; }
  // Why it did not: "exit code 3: its last words".
  std::string reason() const {
    std::string text = timed_out  ? "it took too long and was ended"
                       : too_much ? "it wrote more to its standard output than is taken"
                                  : ending_text(status);
    const std::size_t end = errors.find_last_not_of(" \n\r\t");
    if (end != std::string::npos) text += ": " + errors.substr(0, end + 1);
    return text;
  }
};

namespace detail {

class Descriptor {
 public:
  explicit Descriptor(int file = -1) : file_(file) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return file_; }
  void reset(int file) {
    close();
    file_ = file;
  }
  void close() {
    if (file_ >= 0) ::close(file_);
    file_ = -1;
  }

 private:
  int file_;
};

constexpr std::int64_t kPatienceNs = 2'000'000'000;

// One of a child's outputs, read as it comes.
struct Pipe {
  enum Kept { kFirst, kLast };
  Descriptor read, write;

  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw Error(MFDATA_E_IO, std::string("cannot make a pipe: ") + std::strerror(errno));
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  // Adds what there is, and keeps the first or the last `limit` bytes of all. False: it was more.
  bool take(std::string& text, std::size_t limit, Kept kept) {
    char block[16384];
    const ssize_t got = ::read(read.get(), block, sizeof block);
    if (got == 0) read.close();
    if (got <= 0) return true;
    text.append(block, static_cast<std::size_t>(got));
    if (text.size() <= limit) return true;
    kept == kFirst ? text.resize(limit) : static_cast<void>(text.erase(0, text.size() - limit));
    return false;
  }
};

// A child that leads a process group. However it is left, nothing of the group lives on and nothing stays unreaped.
class Group {
 public:
  explicit Group(pid_t leader) : leader_(leader) {}
  ~Group() { reap(); }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // It stays a zombie until `reap`, so that its number is nobody else's.
  bool leader_ended() const {
    if (leader_ < 0) return true;
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(leader_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == leader_;
  }
  void kill(int signal) const { ::kill(-leader_, signal); }
  int reap() {
    if (leader_ < 0) return status_;
    kill(SIGKILL);
    ::kill(leader_, SIGKILL);  // where it has gone to another group
    while (::waitpid(leader_, &status_, 0) < 0 && errno == EINTR) {
    }
    leader_ = -1;
    return status_;
  }

 private:
  pid_t leader_;
  int status_ = 0;
};

// `in`: a descriptor for its standard input; -1: it has none.
inline pid_t spawn(const Command& command, const Pipe& out, const Pipe& err, int in = -1) {
  std::vector<char*> arguments, environment;
  for (const std::string& argument : command.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
  for (char** variable = environ; *variable; ++variable) {
    const std::string_view name = std::string_view(*variable).substr(0, std::string_view(*variable).find('=') + 1);
    const bool replaced = !name.empty() && std::any_of(command.environment.begin(), command.environment.end(),
                                                       [&](const std::string& own) { return own.starts_with(name); });
    if (!replaced) environment.push_back(*variable);
  }
  for (const std::string& variable : command.environment) environment.push_back(const_cast<char*>(variable.c_str()));
  arguments.push_back(nullptr);
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  if (in < 0) ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (in >= 0) ::posix_spawn_file_actions_adddup2(&actions, in, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out.write.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions, err.write.get(), 2);
  if (!command.directory.empty()) ::posix_spawn_file_actions_addchdir_np(&actions, command.directory.c_str());
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);  // a group of its own, so that what it starts can be ended with it
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) throw Error(MFDATA_E_IO, "cannot start \"" + command.arguments[0] + "\": " + std::strerror(error));
  return pid;
}

}  // namespace detail

// Runs it to its end, and ends what it left behind in its process group. Throws Error when it cannot be started.
inline CommandResult run(const Command& command) {
  if (command.arguments.empty()) throw Error(MFDATA_E_ARG, "a command without a program");
  detail::Pipe out, err;
  detail::Group group(detail::spawn(command, out, err));
  out.write.close();
  err.write.close();
  CommandResult result;
  std::int64_t give_up_ns = 0;  // once it has ended: what escaped its group may hold the outputs open
  while (true) {
    const bool ended = group.leader_ended();
    const bool open = out.read.get() >= 0 || err.read.get() >= 0;
    if (ended && give_up_ns == 0) {
      group.kill(SIGKILL);
      give_up_ns = detail::monotonic_ns() + detail::kPatienceNs;
    }
    if (ended && (!open || detail::monotonic_ns() > give_up_ns)) break;
    pollfd files[] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
    ::poll(files, 2, 20);
    if (files[0].revents != 0) result.too_much = !out.take(result.output, command.max_output, detail::Pipe::kFirst) || result.too_much;
    if (files[1].revents != 0) err.take(result.errors, command.max_errors, detail::Pipe::kLast);
    if (result.too_much) group.kill(SIGKILL);
    const std::int64_t now = detail::monotonic_ns();
    if (ended || command.deadline_ns == 0 || now <= command.deadline_ns) continue;
    if (!std::exchange(result.timed_out, true)) group.kill(SIGTERM);
    if (now > command.deadline_ns + detail::kPatienceNs) group.kill(SIGKILL);
  }
  result.status = group.reap();
  return result;
}

}  // namespace mfdata::sdk
