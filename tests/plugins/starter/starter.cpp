// A step that does at its start what it should not, and a listener that takes its socket from whoever has it.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mfdata/plugin.hpp>
#include <stdexcept>

namespace sdk = mfdata::sdk;

class Starter : public sdk::Step {
 public:
  explicit Starter(const sdk::Context& context) : Step(context) {
    const std::string deed = context.text("at_start", ""), gate = context.text("gate", ""), record = context.text("record", "");
    if (deed == "exit") ::_exit(0);
    if (deed == "throw") throw std::runtime_error("said at the end");
    if (deed == "print and throw") {
      const std::string line(1000, '.');
      for (int i = 0; i < 2000; ++i) std::fprintf(stderr, "%s\n", line.c_str());
      throw std::runtime_error("said at the end");
    }
    while (deed == "wait" && ::access(gate.c_str(), F_OK) != 0) ::usleep(10'000);
    if (deed == "wait but first" && noted_in(record) > 1) {
      while (::access(gate.c_str(), F_OK) != 0) ::usleep(10'000);
    }
    if (deed == "alone") have_alone(record);
    if (deed == "orphans") leave_orphans(record, 3);
  }
  sdk::Result process(sdk::File&) override { return sdk::Result::ok(); }

 private:
  // How many have written their numbers down there, with this one.
  static std::ptrdiff_t noted_in(const std::string& record) {
    std::ofstream(record, std::ios::app) << ::getpid() << std::endl;
    std::ifstream in(record);
    return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  }
  static void have_alone(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ::flock(file, LOCK_EX | LOCK_NB) != 0) throw std::runtime_error("somebody else has it");
  }
  // Each in a session of its own, the parent of the next.
  static void leave_orphans(const std::string& record, int generations) {
    if (::fork() != 0) {
      for (int lines = 0; lines < generations; ::usleep(10'000)) {
        std::ifstream in(record);
        lines = static_cast<int>(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
      }
      return;
    }
    ::setsid();
    std::ofstream(record, std::ios::app) << ::getpid() << std::endl;
    if (generations > 1) leave_orphans(record, generations - 1);
    while (true) ::pause();
  }
};

class Lamp : public sdk::Listener {
 public:
  explicit Lamp(const sdk::Context& context) : Listener(context), path_(context.text("socket")) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) throw sdk::Error(MFDATA_E_ARG, "socket is too long");
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    ::unlink(path_.c_str());
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(socket_, 16) != 0) {
      throw sdk::Error(MFDATA_E_IO, "cannot listen on socket " + path_);
    }
  }
  ~Lamp() override {
    ::close(socket_);
    ::unlink(path_.c_str());
  }
  sdk::Result run() override {
    while (!stopped_) ::usleep(10'000);
    return sdk::Result::ok();
  }
  void stop() noexcept override { stopped_ = true; }

 private:
  std::string path_;
  int socket_ = -1;
  std::atomic<bool> stopped_{false};
};

// Writes one deposit, and commits it once the gate is there.
class Scribe : public sdk::Listener {
 public:
  explicit Scribe(const sdk::Context& context) : Listener(context), gate_(context.text("gate")) {}
  sdk::Result run() override {
    const mfdata_host* host = component().host();
    mfdata_ctx* ctx = component().raw();
    mfdata_deposit* deposit = nullptr;
    const std::string text = "written by " + std::to_string(::getpid());
    if (host->deposit_open(ctx, sdk::c("archive/main"), sdk::c("page"), nullptr, &deposit) != MFDATA_OK) return sdk::Result::fail("cannot open");
    if (host->deposit_write(ctx, deposit, text.data(), text.size()) != MFDATA_OK) return sdk::Result::fail("cannot write");
    while (!stopped_ && ::access(gate_.c_str(), F_OK) != 0) ::usleep(10'000);
    if (stopped_) {
      host->deposit_abort(ctx, deposit);
    } else if (host->deposit_commit(ctx, deposit, nullptr, nullptr) != MFDATA_OK) {
      return sdk::Result::fail("cannot commit");
    }
    while (!stopped_) ::usleep(10'000);
    return sdk::Result::ok();
  }
  void stop() noexcept override { stopped_ = true; }

 private:
  std::string gate_;
  std::atomic<bool> stopped_{false};
};

MFDATA_PLUGIN("starter", "1.0.0", "misbehaves when it starts, and a listener with a socket", "BSD-3-Clause",
              sdk::step<Starter>("main", "ends every file"), sdk::listener<Lamp>("lamp", "has a socket"),
              sdk::listener<Scribe>("scribe", "writes one deposit"))
