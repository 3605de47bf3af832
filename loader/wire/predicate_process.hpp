// The code rules of a routing plugin (type = "plugin"), evaluated in a process of their own: an mfdata-worker with the
// task kPredicates loads the libraries whose predicates are named, and answers one question at a time. Whatever a predicate does
// to itself, it harms neither the file nor the plugin that asks: a crash, or a time above `predicate_timeout`, is an
// answer that counts as no. After three of them in a row a predicate is suspended for a minute.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "libmfdata/tag_set.hpp"
#include "wire/worker_process.hpp"

namespace mfdata {

class PredicateProcess {
 public:
  using Log = std::function<void(bool is_error, const std::string& text)>;  // otherwise a warning

  // `settings` are those of the step that asks; their lifetime is the object's. `program`: mfdata-worker.
  PredicateProcess(std::string program, const wire::WorkerSettings& settings, Log log);
  ~PredicateProcess();
  PredicateProcess(const PredicateProcess&) = delete;
  PredicateProcess& operator=(const PredicateProcess&) = delete;

  // Compiles all code rules, in 20 s at most; what cannot be compiled is logged and left out.
  void start();
  // code: 1 yes, 0 no, negative MFDATA_E_*: it could not tell, and why. `deadline_ns` of CLOCK_MONOTONIC, 0: none; it
  // takes at most half of the time that is left.
  wire::Answer test(std::uint32_t rule, const std::string& path, const TagSet& tags, std::int64_t deadline_ns);

 private:
  struct Predicate {  // "plugin/predicate"
    unsigned failures = 0;                // in a row, but for what other rules answered meanwhile
    std::uint32_t failed_rule = 0;        // the last one that failed
    std::int64_t suspended_until_ns = 0;  // CLOCK_MONOTONIC
  };
  enum class Asked { kAnswered, kFailed, kNotAsked };

  std::string predicate_of(std::uint32_t rule) const;
  bool start_round(std::int64_t due_ns);
  void start_until(std::int64_t due_ns);
  void leave_out(std::uint32_t rule, std::int64_t until_ns, const std::string& why);
  bool left_out(std::uint32_t rule) const;
  bool send(const wire::Message& message, std::int64_t due_ns);
  bool send_context(const TagSet& tags, std::int64_t due_ns);
  Asked ask(std::uint32_t rule, const std::string& path, const TagSet& tags, std::int64_t due_ns, wire::Answer& answer, std::string& why);
  wire::Answer failed(std::uint32_t rule, Predicate& predicate, const std::string& why);
  // The next answer; nothing: the process died (`why` says of what), or took longer. Then it is gone.
  std::optional<wire::Answer> receive(std::int64_t due_ns, std::string& why);
  std::string end();  // kills and reaps the process; what it died of

  const std::string program_;
  wire::WorkerSettings settings_;
  const Log log_;
  std::unique_ptr<WorkerProcess> process_;
  std::map<std::uint32_t, std::int64_t> left_out_until_ns_;  // code rules that could not be compiled
  std::map<std::string, Predicate> predicates_;
  std::string known_context_;  // to the process
  std::uint32_t serial_ = 0;   // of the question
};

}  // namespace mfdata
