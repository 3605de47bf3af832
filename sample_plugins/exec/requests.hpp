// Asks the program of a step: says what there is to do, waits for the answers, and knows what a program that ends, hangs,
// or answers something else means for the files in hand. One thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "program.hpp"

namespace exec_protocol {

class Requests {
 public:
  enum class How {
    kAnswered,
    kNotStarted,  // no program runs: the files are not to blame
    kLost,        // it ended, hung or broke the protocol with the files in hand
  };
  struct Heard {
    How how = How::kAnswered;
    std::string why;                      // of the other two
    std::vector<std::string> ids;         // of the files
    std::string batch;                    // of the batch; empty: one file alone
    std::map<std::string, Answer> answers;  // by the ids of files and of the batch; all of kAnswered
  };

  // Starts the program. Throws sdk::Error.
  Requests(const mfdata::sdk::Context& component, const char* kind)
      : component_(component),
        timeout_s_(component.real("command_timeout", 0)),
        program_(component, kind, {"cancel"}) {}

  // One file, or a batch of one or more. The answers are not looked into. Throws sdk::Error of the host.
  Heard ask(const mfdata::sdk::Context& call, const std::vector<mfdata::sdk::File*>& files, bool as_batch);

  void take_logs() { program_.take_logs(); }

 private:
  struct Request {
    std::vector<std::string> files;
    std::string batch, last;  // last: its answer ends the request
  };

  Request say(const mfdata::sdk::Context& call, const std::vector<mfdata::sdk::File*>& files, bool as_batch,
              std::int64_t deadline_ns);
  bool hear(const mfdata::sdk::Context& call, const Request& request, std::int64_t deadline_ns, Heard& heard);
  Program::Event next(const mfdata::sdk::Context& call, const Request& request, std::int64_t deadline_ns);
  bool was_answered_before(const Request& request, const std::string& id) const;
  std::string next_id() { return std::to_string(++issued_); }

  const mfdata::sdk::Context component_;
  double timeout_s_;
  std::uint64_t issued_ = 0;
  bool told_to_cancel_ = false;  // of the request under way
  Program program_;
};

}  // namespace exec_protocol
