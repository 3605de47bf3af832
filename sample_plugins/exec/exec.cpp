// exec: processes files by a program that is started once and stays, in any language. They exchange JSON lines: doc/exec.md
// is the protocol, messages.hpp its messages. What the program writes to its standard error goes to the log.
//
//   main      a step: one file at a time
//   batch     a step: many files at a time, each with a result of its own, and outputs of all of them
//   listener  the program brings files in (listener.hpp)
//
// A program that ends, hangs or breaks the protocol fails the file that it had, and is started again for the next one. One
// that has ended by itself between two files (exit code 0) has failed nothing.
#include <numeric>
#include <set>

#include "listener.hpp"
#include "outputs.hpp"
#include "requests.hpp"

namespace sdk = mfdata::sdk;
using exec_protocol::Answer;
using exec_protocol::Malformed;
using exec_protocol::Requests;

namespace {

sdk::Result wrong_answer(const std::string& why) { return sdk::Result::fail("its answer is wrong: " + why); }

// The result that an answer gives, before anything is staged.
sdk::Result result_of(const sdk::Context& call, const Answer& answer) {
  if (!answer.wrong.empty()) return wrong_answer(answer.wrong);
  if (answer.result.code == MFDATA_CANCELLED && !call.cancelled()) {
    return wrong_answer("it says \"cancelled\", and nobody asked it to stop");
  }
  return answer.result;
}

// The files are not to blame: they go back, and a moment later the program is tried again.
sdk::Result not_started(const sdk::Context& component, const std::string& why) {
  constexpr std::int64_t kMoment_ms = 1000;
  component.error("the program does not start: " + why);
  return sdk::Result::yield("the program does not start", kMoment_ms);
}

}  // namespace

class Exec : public sdk::Step {
 public:
  explicit Exec(const sdk::Context& context)
      : Step(context), dest_dir_(context.text("dest_dir", "")), requests_(context, "step") {}

  sdk::Result process(sdk::File& file) override {
    const Requests::Heard heard = requests_.ask(file.context(), {&file}, false);
    if (heard.how == Requests::How::kLost) return sdk::Result::fail("the program " + heard.why);
    if (heard.how == Requests::How::kNotStarted) {
      return not_started(component(), heard.why);
    }
    const Answer& answer = heard.answers.at(heard.ids.front());
    sdk::Result result = result_of(file.context(), answer);
    if (result.code != MFDATA_OK) return result;
    try {
      exec_protocol::stage_answer(file, answer, dest_dir_);
    } catch (const Malformed& error) {
      return wrong_answer(error.what());
    }
    return result;
  }

  void tick() override { requests_.take_logs(); }

 private:
  std::string dest_dir_;
  Requests requests_;
};

// When the program dies of a batch, nobody knows of which file: each of them is tried alone. Those for which the call has no
// time left go back unharmed, and are remembered.
class ExecBatch : public sdk::BatchStep {
 public:
  explicit ExecBatch(const sdk::Context& context)
      : BatchStep(context), dest_dir_(context.text("dest_dir", "")), requests_(context, "batch") {}

  std::vector<sdk::Result> process(std::vector<sdk::File>& files) override {
    const sdk::Context& call = files.front().context();
    const std::int64_t deadline = call.host()->deadline_ns(call.raw()), began = sdk::detail::monotonic_ns();
    std::vector<std::size_t> all(files.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    std::vector<sdk::Result> results(files.size(), unharmed());
    const bool suspected = std::any_of(files.begin(), files.end(), [&](const sdk::File& file) { return suspects_.contains(name_of(file)); });
    bool one_must_end = true;
    if (files.size() == 1 || !suspected) {
      const std::string lost = processed(files, all, results);
      if (lost.empty() || files.size() == 1) return settled(files, results);
      component().warning("the program " + lost + " with a batch of " + std::to_string(files.size()) +
                          " files: each of them is tried alone");
      for (const sdk::File& file : files) suspects_.insert(name_of(file));
      one_must_end = false;
    }
    for (const std::size_t index : all) {
      const bool has_time = deadline == 0 || sdk::detail::monotonic_ns() < began + (deadline - began) / 2;
      if (!one_must_end && (!has_time || call.cancelled())) break;
      one_must_end = false;
      processed(files, {index}, results);
      if (no_program_) break;
    }
    return settled(files, results);
  }

  void tick() override { requests_.take_logs(); }

 private:
  // Back to the queue, uncharged, and soon again.
  static sdk::Result unharmed() { return sdk::Result::yield("there is no time left for it in this call", 1); }
  static std::string name_of(const sdk::File& file) { return file.tag("first.core.original_uid").value_or(file.path()); }

  // What has ended is suspected no more.
  const std::vector<sdk::Result>& settled(const std::vector<sdk::File>& files, const std::vector<sdk::Result>& results) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      const bool goes_back = results[i].code == MFDATA_YIELD || results[i].code == MFDATA_CANCELLED;
      if (!goes_back) suspects_.erase(name_of(files[i]));
    }
    return results;
  }

  // Sets the results of some of the files. Not empty: why the program was lost, which fails them.
  std::string processed(std::vector<sdk::File>& files, const std::vector<std::size_t>& indices, std::vector<sdk::Result>& results) {
    std::vector<sdk::File*> asked;
    for (const std::size_t index : indices) asked.push_back(&files[index]);
    const sdk::Context& call = asked.front()->context();
    const Requests::Heard heard = requests_.ask(call, asked, true);
    no_program_ = heard.how == Requests::How::kNotStarted;
    if (no_program_) {
      const sdk::Result waits = not_started(component(), heard.why);
      for (sdk::Result& result : results) result = result.code == MFDATA_YIELD ? waits : result;
    }
    if (heard.how == Requests::How::kLost && indices.size() == 1) {
      results[indices.front()] = sdk::Result::fail("the program " + heard.why);
    }
    if (heard.how == Requests::How::kLost) return heard.why;
    if (heard.how == Requests::How::kAnswered) {
      const std::vector<sdk::Result> ends = staged(call, asked, heard);
      for (std::size_t i = 0; i < indices.size(); ++i) results[indices[i]] = ends[i];
    }
    return "";
  }

  std::vector<sdk::Result> staged(const sdk::Context& call, const std::vector<sdk::File*>& files, const Requests::Heard& heard) {
    const Answer& of_all = heard.answers.at(heard.batch);
    std::map<std::string, sdk::File*> by_id;
    std::vector<sdk::Result> results;
    sdk::Result common = result_of(call, of_all);
    for (std::size_t i = 0; i < files.size(); ++i) {
      by_id.emplace(heard.ids[i], files[i]);
      const auto own = heard.answers.find(heard.ids[i]);
      results.push_back(own == heard.answers.end() ? common : staged_file(*files[i], own->second));
    }
    if (of_all.wrong.empty() && common.code != MFDATA_OK) return results;
    if (of_all.wrong.empty()) common = caught([&] { exec_protocol::stage_batch_answer(call, by_id, of_all, dest_dir_); });
    if (common.code != MFDATA_OK) results.assign(files.size(), common);
    return results;
  }

  sdk::Result staged_file(const sdk::File& file, const Answer& answer) const {
    const sdk::Result result = result_of(file.context(), answer);
    if (result.code != MFDATA_OK) return result;
    return caught([&] { exec_protocol::stage_answer(file, answer, dest_dir_); });
  }

  template <class Action>
  static sdk::Result caught(Action action) {
    try {
      action();
      return sdk::Result::ok();
    } catch (const Malformed& error) {
      return wrong_answer(error.what());
    } catch (const sdk::Error& error) {
      return {sdk::detail::result_of(error.code), error.what(), {}};
    }
  }

  std::string dest_dir_;
  std::set<std::string> suspects_;  // of the batch with which a program was lost
  bool no_program_ = false;
  Requests requests_;
};

MFDATA_PLUGIN("exec", "1.0.0", "processes files by a program that stays", "BSD-3-Clause",
              sdk::step<Exec>("main", "asks the program for each file"),
              sdk::batch_step<ExecBatch>("batch", "asks the program for many files at a time"),
              sdk::listener<exec_protocol::ExecListener>("listener", "the program brings files in"))
