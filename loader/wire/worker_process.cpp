#include "wire/worker_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <vector>

#include "libmfdata/claim.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/printable.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kMaxOutputPerRead = 64 * 1024;
constexpr std::size_t kMaxLine = 8 * 1024;
constexpr const char* kSelf = "/proc/self/exe";  // whose name says nothing to who looks at processes

// Above the numbers that the child gets, so that no dup2 of the child hits a source of another one.
Result<FileDescriptor> high(FileDescriptor file, const char* what) {
  FileDescriptor moved(::fcntl(file.get(), F_DUPFD_CLOEXEC, 10));
  if (!moved) return system_error(errno, std::string("cannot prepare ") + what + " of a worker");
  return moved;
}

Result<FileDescriptor> memory_file(const char* name, std::string_view content, std::size_t size) {
  FileDescriptor file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) return system_error(errno, "cannot make a memory file");
  if (!content.empty()) MFDATA_TRY(write_all(file.get(), content, name));
  if (size > 0 && ::ftruncate(file.get(), static_cast<off_t>(size)) != 0) return system_error(errno, "cannot size a memory file");
  ::lseek(file.get(), 0, SEEK_SET);
  return high(std::move(file), name);
}

std::vector<std::string> child_environment() {
  std::vector<std::string> all;
  for (char** variable = environ; *variable; ++variable) {
    if (!std::string_view(*variable).starts_with("MFDATA_LOADER_PID=") && !std::string_view(*variable).starts_with("NOTIFY_SOCKET=")) {
      all.emplace_back(*variable);
    }
  }
  all.push_back("MFDATA_LOADER_PID=" + std::to_string(::getpid()));
  return all;
}

// Everything of the child that is not in its settings.
Result<pid_t> spawn(const std::string& program, int channel, int settings, int progress, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, channel, wire::kChannel);
  ::posix_spawn_file_actions_adddup2(&actions, settings, wire::kSettings);
  ::posix_spawn_file_actions_adddup2(&actions, progress, wire::kProgress);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, wire::kProgress + 1);  // a library's, or of who started the loader
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> variables = child_environment();
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  std::array<char*, 2> arguments = {const_cast<char*>(program == kSelf ? "mfdata-worker" : program.c_str()), nullptr};
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, program.c_str(), &actions, &attributes, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) return system_error(failed, "cannot start " + program);
  return pid;
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::start(const std::string& program, const wire::WorkerSettings& settings, Output kind) {
  std::array<int, 2> sockets, pipe;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets.data()) != 0) return system_error(errno, "cannot make a channel");
  FileDescriptor ours(sockets[0]), theirs(sockets[1]);
  FileDescriptor output, input;
  if (kind == Output::kPipe) {
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return system_error(errno, "cannot make a pipe");
    output = FileDescriptor(pipe[0]);
    input = FileDescriptor(pipe[1]);
    ::fcntl(output.get(), F_SETFL, O_NONBLOCK);
  } else {
    input = FileDescriptor(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10));
  }
  ::fcntl(theirs.get(), F_SETFL, 0);  // the worker waits when its results do not fit
  auto channel = high(std::move(theirs), "the channel");
  if (!channel) return channel.error();
  auto stream = high(std::move(input), "the output");
  if (!stream) return stream.error();
  auto text = memory_file("mfdata-settings", wire::encode(settings), 0);
  if (!text) return text.error();
  auto progress = memory_file("mfdata-progress", "", sizeof(wire::ProgressPage));
  if (!progress) return progress.error();
  void* page = ::mmap(nullptr, sizeof(wire::ProgressPage), PROT_READ | PROT_WRITE, MAP_SHARED, progress->get(), 0);
  if (page == MAP_FAILED) return system_error(errno, "cannot map a progress page");
  std::unique_ptr<WorkerProcess> process(new WorkerProcess);
  process->page_ = new (page) wire::ProgressPage;
  auto pid = spawn(program, channel->get(), text->get(), progress->get(), stream->get());
  if (!pid) return pid.error();
  process->pid_ = *pid;
  process->channel_ = lasting(std::move(ours));
  process->output_ = std::move(output);
  return process;
}

WorkerProcess::~WorkerProcess() {
  if (page_) ::munmap(page_, sizeof(wire::ProgressPage));
}

bool WorkerProcess::send(const wire::Message& message) const {
  const std::string packet = wire::encode(message);
  return ::send(channel_.get(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(packet.size());
}

bool WorkerProcess::send_socket(const wire::SocketAnswer& answer, int descriptor) const {
  return wire::send_with_descriptor(channel_.get(), answer, descriptor);
}

Result<std::optional<wire::Message>> WorkerProcess::receive() const {
  static std::array<char, wire::kMaxPacket> packet;
  ssize_t length = ::recv(channel_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
  // A peer that died with unread jobs leaves an error in front of what it had sent.
  if (length < 0 && errno == ECONNRESET) length = ::recv(channel_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
  if (length <= 0) return std::optional<wire::Message>();
  auto message = wire::decode({packet.data(), static_cast<std::size_t>(length)});
  if (!message) return message.error();
  return std::optional<wire::Message>(std::move(*message));
}

std::string WorkerProcess::read_output(bool& closed) {
  std::string lines;
  closed = false;
  std::array<char, 8192> block;
  while (lines.size() < kMaxOutputPerRead) {
    const ssize_t got = ::read(output_.get(), block.data(), block.size());
    if (got <= 0) {
      closed = got == 0;
      break;
    }
    partial_line_.append(block.data(), static_cast<std::size_t>(got));
    const std::size_t end = partial_line_.rfind('\n');
    if (end != std::string::npos) {
      lines += partial_line_.substr(0, end + 1);
      partial_line_.erase(0, end + 1);
    } else if (partial_line_.size() > kMaxLine) {
      lines += std::exchange(partial_line_, "") + '\n';
    }
  }
  if (closed && !partial_line_.empty()) lines += std::exchange(partial_line_, "") + '\n';
  return lines;
}

void WorkerProcess::terminate() const {
  (void)send(wire::Stop{});
  ::kill(pid_, SIGTERM);
}

void WorkerProcess::kill() const { ::kill(-pid_, SIGKILL); }
bool WorkerProcess::group_lives() const { return ::kill(-pid_, 0) == 0; }

std::string WorkerProcess::last_words() const {
  const char* text = page_->last_words;
  return printable(std::string(text, ::strnlen(text, sizeof page_->last_words)));
}

std::string WorkerProcess::in_hand() const {
  const char* text = page_->in_hand;
  const std::string name(text, ::strnlen(text, sizeof page_->in_hand));
  return name == kEveryFile || SpoolName::parse(name) ? name : std::string();
}

}  // namespace mfdata
