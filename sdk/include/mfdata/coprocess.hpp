// mfdata/coprocess.hpp - a program that runs beside a step for many files and is talked to by lines: one in, one out. It is
// started once, bounded in time and in what it may write, and ended with the object. Header-only; for plugins in C++20.
#pragma once

#include <mfdata/command.hpp>

namespace mfdata::sdk {

class Coprocess {
 public:
  enum class Outcome { kLine, kEnded, kTooLate, kTooLong };
  struct Reply {
    Outcome outcome = Outcome::kLine;
    std::string line;  // without its end
  };

  // Of the command its deadline is not used; max_output bounds one line. Throws Error when it cannot be started.
  explicit Coprocess(const Command& command)
      : max_line_(command.max_output), max_errors_(command.max_errors), group_(detail::spawn(command, out_, err_, in_.read.get())) {
    in_.read.close();
    out_.write.close();
    err_.write.close();
    for (const detail::Descriptor* end : {&in_.write, &out_.read, &err_.read}) ::fcntl(end->get(), F_SETFL, O_NONBLOCK);
  }
  // Its standard input is closed; what then does not end within two seconds is killed.
  ~Coprocess() {
    in_.write.close();
    const std::int64_t patient_until = detail::monotonic_ns() + detail::kPatienceNs;
    while (!group_.leader_ended() && detail::monotonic_ns() < patient_until) wait(patient_until);
  }

  bool ended() const { return group_.leader_ended(); }

  // Sends a line (without its end) and waits for one, until `deadline_ns` (CLOCK_MONOTONIC; 0: for ever).
  Reply ask(const std::string& line, std::int64_t deadline_ns) {
    unsent_ += line + '\n';
    return next(deadline_ns);
  }
  Reply next(std::int64_t deadline_ns) {
    while (true) {
      if (const std::size_t end = lines_.find('\n'); end != std::string::npos) {
        Reply reply{Outcome::kLine, lines_.substr(0, end)};
        lines_.erase(0, end + 1);
        return reply;
      }
      if (lines_.size() > max_line_) return {Outcome::kTooLong, ""};
      if (out_.read.get() < 0) return {Outcome::kEnded, ""};
      if (group_.leader_ended()) {  // what it started may hold its output open for ever
        drain();
        if (lines_.find('\n') == std::string::npos) return {Outcome::kEnded, ""};
        continue;
      }
      if (deadline_ns > 0 && detail::monotonic_ns() > deadline_ns) return {Outcome::kTooLate, ""};
      wait(deadline_ns);
    }
  }
  // It has said something that nobody asked for.
  bool says_more() {
    drain();
    return !lines_.empty();
  }

  // What it wrote to its standard error since the last call: the last max_errors bytes. Now and then somebody has to take
  // it, or to call `drain`: otherwise it waits until there is room.
  std::string take_errors() {
    drain();
    return std::exchange(errors_, "");
  }
  void drain() {
    take_output();
    take(err_, errors_, max_errors_);
    if (errors_.size() > max_errors_) errors_.erase(0, errors_.size() - max_errors_);
  }

  // How it ended: what closed its output has a second to end by itself, then it and its process group are killed.
  std::string end() {
    const std::int64_t patient_until = detail::monotonic_ns() + 1'000'000'000;
    while (out_.read.get() < 0 && !group_.leader_ended() && detail::monotonic_ns() < patient_until) wait(patient_until);
    return ending_text(group_.reap());
  }

 private:
  // For something to read or to write, at most a second.
  void wait(std::int64_t deadline_ns) {
    std::int64_t left_ms = deadline_ns > 0 ? (deadline_ns - detail::monotonic_ns()) / 1'000'000 + 1 : 1000;
    left_ms = left_ms < 0 ? 0 : left_ms > 1000 ? 1000 : left_ms;
    // More than a line's worth waits in the pipe until it is asked for.
    pollfd files[] = {{lines_.size() <= max_line_ ? out_.read.get() : -1, POLLIN, 0},
                      {err_.read.get(), POLLIN, 0},
                      {unsent_.empty() ? -1 : in_.write.get(), POLLOUT, 0}};
    const bool blind = files[0].fd < 0 && files[1].fd < 0;
    ::poll(files, 3, static_cast<int>(blind ? 10 : left_ms));
    if (files[2].revents != 0) send();
    drain();
  }
  void send() {
    const ssize_t sent = ::write(in_.write.get(), unsent_.data(), unsent_.size());
    if (sent > 0) unsent_.erase(0, static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN && errno != EINTR) unsent_.clear();  // it reads no more: its end tells
  }
  void take_output() {
    if (lines_.size() <= max_line_) take(out_, lines_, max_line_ + 1);
  }
  static void take(detail::Pipe& pipe, std::string& text, std::size_t enough) {
    char block[16384];
    while (pipe.read.get() >= 0) {
      const ssize_t got = ::read(pipe.read.get(), block, sizeof block);
      if (got == 0) pipe.read.close();
      if (got <= 0) return;
      text.append(block, static_cast<std::size_t>(got));
      if (text.size() > enough + sizeof block) return;
    }
  }

  std::size_t max_line_, max_errors_;
  detail::Pipe in_, out_, err_;
  detail::Group group_;
  std::string unsent_, lines_, errors_;
};

}  // namespace mfdata::sdk
