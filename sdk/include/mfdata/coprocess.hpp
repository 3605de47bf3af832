// mfdata/coprocess.hpp - a program that runs beside a component and exchanges lines with it. It is started once, its time and
// what it may write are bounded, and it ends with the object. Used by one thread. Header-only; for plugins in C++20.
#pragma once

#include <mfdata/command.hpp>

namespace mfdata::sdk {

class Coprocess {
 public:
  enum class Outcome { kLine, kEnded, kTooLate, kTooLong, kWoken };
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

  // Sends a line (without its end). What the program does not read at once waits here, and is sent by `next`.
  void say(std::string_view line) {
    (unsent_ += line) += '\n';
    send();
  }
  // Sends a line and waits for one, until `deadline_ns` (CLOCK_MONOTONIC; 0: for ever).
  Reply ask(const std::string& line, std::int64_t deadline_ns) {
    say(line);
    return next(deadline_ns);
  }
  // The next line; kWoken as soon as the descriptor `wake` can be read. After kTooLate and kWoken it may be called again.
  Reply next(std::int64_t deadline_ns, int wake = -1) {
    while (true) {
      if (has_line()) return take_line();
      if (lines_.size() - begin_ > max_line_) return {Outcome::kTooLong, ""};
      if (out_.read.get() < 0) return {Outcome::kEnded, ""};
      if (group_.leader_ended()) {  // what it started may hold its output open for ever
        drain();
        if (!has_line() && lines_.size() - begin_ <= max_line_) return {Outcome::kEnded, ""};
        continue;
      }
      if (deadline_ns > 0 && detail::monotonic_ns() > deadline_ns) return {Outcome::kTooLate, ""};
      if (wait(deadline_ns, wake)) return {Outcome::kWoken, ""};
    }
  }
  // A whole line is there.
  bool has_line() {
    if (end_of_line_ == std::string::npos) {
      end_of_line_ = lines_.find('\n', std::max(begin_, searched_));
      searched_ = lines_.size();
    }
    return end_of_line_ != std::string::npos;
  }
  // It has said something that nobody asked for.
  bool says_more() {
    drain();
    return lines_.size() > begin_;
  }
  // Nothing more is sent: its standard input ends.
  void close_input() { in_.write.close(); }

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
  // Only what is behind the lines that were taken is moved, and that seldom: a program may write very many at once.
  Reply take_line() {
    Reply reply{Outcome::kLine, lines_.substr(begin_, end_of_line_ - begin_)};
    begin_ = end_of_line_ + 1;
    end_of_line_ = std::string::npos;
    searched_ = begin_;
    if (begin_ * 2 > lines_.size()) {
      lines_.erase(0, begin_);
      begin_ = searched_ = 0;
    }
    if (reply.line.size() > max_line_) return {Outcome::kTooLong, ""};
    return reply;
  }
  // For something to read or to write, at most a second. True: `wake` can be read.
  bool wait(std::int64_t deadline_ns, int wake = -1) {
    std::int64_t left_ms = deadline_ns > 0 ? (deadline_ns - detail::monotonic_ns()) / 1'000'000 + 1 : 1000;
    left_ms = left_ms < 0 ? 0 : left_ms > 1000 ? 1000 : left_ms;
    // More than a line's worth waits in the pipe until it is asked for.
    pollfd files[] = {{lines_.size() - begin_ <= max_line_ ? out_.read.get() : -1, POLLIN, 0},
                      {err_.read.get(), POLLIN, 0},
                      {unsent_.size() == sent_ ? -1 : in_.write.get(), POLLOUT, 0},
                      {wake, POLLIN, 0}};
    const bool blind = files[0].fd < 0 && files[1].fd < 0;
    ::poll(files, 4, static_cast<int>(blind ? std::min<std::int64_t>(left_ms, 10) : left_ms));
    if (files[2].revents != 0) send();
    drain();
    return files[3].revents != 0;
  }
  void send() {
    while (sent_ < unsent_.size() && in_.write.get() >= 0) {
      const ssize_t sent = ::write(in_.write.get(), unsent_.data() + sent_, unsent_.size() - sent_);
      if (sent < 0 && errno == EAGAIN) return;
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) break;  // it reads no more: its end tells
      sent_ += static_cast<std::size_t>(sent);
    }
    unsent_.clear();
    sent_ = 0;
  }
  void take_output() {
    if (lines_.size() - begin_ <= max_line_) take(out_, lines_, begin_ + max_line_ + 1);
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
  std::size_t sent_ = 0;                              // of unsent_
  std::size_t begin_ = 0, searched_ = 0;              // of lines_: taken, and known to hold no further end of a line
  std::size_t end_of_line_ = std::string::npos;
};

}  // namespace mfdata::sdk
