// exec: treats files by a program that is started once and stays, in any language: one JSON line for each file on its
// standard input, one on its standard output (line_protocol.hpp). What it writes to its standard error goes to the log.
//
// A program that ends, hangs or talks nonsense fails the file that it had, and is started again for the next one. One
// that has ended by itself between two files (exit code 0) has failed nothing.
#include <mfdata/coprocess.hpp>
#include <mfdata/plugin.hpp>

#include "line_protocol.hpp"

namespace sdk = mfdata::sdk;

namespace {

constexpr std::size_t kMaxLine = 4 << 20;

std::vector<std::pair<std::string, std::string>> tags_of(const sdk::File& file) {
  std::vector<std::pair<std::string, std::string>> tags;
  file.each_tag([&](std::string_view name, std::string_view value) { tags.emplace_back(name, value); });
  return tags;
}

// A name without a dot is one of this hop.
void set_tags(const sdk::File& file, const line_protocol::Tags& tags) {
  for (const auto& [name, value] : tags) {
    const bool of_this_hop = name.find('.') == std::string::npos;
    if (!value && of_this_hop) {
      throw std::runtime_error("its answer is wrong: only a tag with its whole name can be deleted, not \"" + name + '"');
    } else if (!value) {
      file.delete_tag(name);
    } else if (of_this_hop) {
      file.set_hop_tag(name, *value);
    } else {
      file.set_tag(name, *value);
    }
  }
}

std::string last_words(const std::string& errors) {
  const std::size_t end = errors.find_last_not_of(" \n\r\t");
  return end == std::string::npos ? "" : ": " + errors.substr(0, end + 1);
}

}  // namespace

class Exec : public sdk::Step {
 public:
  explicit Exec(const sdk::Context& context)
      : Step(context),
        dest_dir_(context.text("dest_dir", "")),
        timeout_s_(context.real("command_timeout", 0)),
        start_timeout_s_(context.real("start_timeout", 30)) {
    // The program starts before there is a file: it reads the path of each from its requests.
    command_.arguments = sdk::CommandTemplate("command", context.texts("command"), {}).plain();
    command_.environment = sdk::CommandTemplate("environment", context.texts("environment"), {}).plain();
    command_.max_output = kMaxLine;
    if (command_.arguments.empty()) throw sdk::Error(MFDATA_E_ARG, "write command = [\"program\", \"argument\", ..]");
    start(context);  // a program that cannot run stops the step, not its files
  }

  sdk::Result process(sdk::File& file) override {
    const sdk::Context& context = file.context();
    const std::string id = std::to_string(++requests_);
    const std::string line = line_protocol::request(id, file.path(), context.scratch_dir(), tags_of(file));
    for (int attempt = 0;; ++attempt) {
      if (!program_ || program_->ended() || program_->says_more()) {
        if (const std::string wrong = restart(context); !wrong.empty()) return not_started(wrong);
      }
      const sdk::Coprocess::Reply reply = program_->ask(line, sdk::command_deadline(context, timeout_s_));
      const std::string errors = logged_errors();
      if (reply.outcome == sdk::Coprocess::Outcome::kLine) return ended(file, id, reply.line);
      const std::string end = program_->end();
      program_.reset();
      if (reply.outcome == sdk::Coprocess::Outcome::kEnded && end == "exit code 0" && attempt == 0) continue;  // before it saw the file
      return sdk::Result::fail("the program " + what(reply.outcome) + (reply.outcome == sdk::Coprocess::Outcome::kEnded ? " with " + end : "") + last_words(errors));
    }
  }

  void tick() override {
    if (program_) logged_errors();
  }

 private:
  static std::string what(sdk::Coprocess::Outcome outcome) {
    switch (outcome) {
      case sdk::Coprocess::Outcome::kTooLate: return "took too long and was ended";
      case sdk::Coprocess::Outcome::kTooLong: return "wrote a line of more than 4 MiB";
      default: return "ended";
    }
  }

  sdk::Result ended(sdk::File& file, const std::string& id, const std::string& line) {
    try {
      const line_protocol::Answer answer = line_protocol::parse_answer(line, id);
      if (answer.result.code != MFDATA_OK) return answer.result;
      set_tags(file, answer.tags);
      std::vector<sdk::File> made;  // all of them with the tags of the file, before one gets its own
      for (const line_protocol::Output& output : answer.outputs) {
        made.push_back(output.path == file.path() ? file : file.context().adopt(output.path, file));
      }
      for (std::size_t i = 0; i < made.size(); ++i) {
        const line_protocol::Output& output = answer.outputs[i];
        set_tags(made[i], output.tags);
        if (output.to.empty() && dest_dir_.empty()) throw std::runtime_error("an output names no step, and dest_dir is empty");
        made[i].move_to(output.to.empty() ? dest_dir_ : output.to);
      }
      return sdk::Result::ok();
    } catch (const line_protocol::OtherRequest& error) {
      program_.reset();  // nobody knows what its next lines are about
      return sdk::Result::fail(error.what());
    } catch (const std::runtime_error& error) {
      return sdk::Result::fail(error.what());
    }
  }

  // Throws when it does not come up within its time, and within that of the call.
  void start(const sdk::Context& context) {
    program_ = std::make_unique<sdk::Coprocess>(command_);
    const sdk::Coprocess::Reply reply = program_->next(sdk::command_deadline(context, start_timeout_s_));
    if (reply.outcome == sdk::Coprocess::Outcome::kLine && line_protocol::is_ready(reply.line)) return;
    const std::string end = program_->end(), errors = logged_errors();
    program_.reset();
    if (reply.outcome == sdk::Coprocess::Outcome::kLine) {
      throw sdk::Error(MFDATA_E_IO, "its first line is not {\"ready\": true} but \"" + reply.line.substr(0, 100) + '"');
    }
    throw sdk::Error(MFDATA_E_IO, "it " + what(reply.outcome) + " before it was ready" + (reply.outcome == sdk::Coprocess::Outcome::kEnded ? ", " + end : "") + last_words(errors));
  }

  std::string restart(const sdk::Context& context) {
    if (program_) {
      logged_errors();
      component().warning(program_->ended() ? "the program ended by itself with " + program_->end() + ": it is started again"
                                            : "the program wrote a line that nobody asked for: it is started again");
      program_.reset();
    }
    try {
      start(context);
      return "";
    } catch (const sdk::Error& error) {
      return error.what();
    }
  }

  // The file is not to blame: it goes back, and a moment later the program is tried again.
  sdk::Result not_started(const std::string& why) const {
    component().error("the program does not start: " + why);
    const timespec moment{1, 0};
    ::nanosleep(&moment, nullptr);
    return sdk::Result::cancelled();
  }

  std::string logged_errors() {
    const std::string errors = program_->take_errors();
    for (std::size_t at = 0; at < errors.size();) {
      const std::size_t end = std::min(errors.find('\n', at), errors.size());
      if (end > at) component().warning("the program says: " + errors.substr(at, end - at));
      at = end + 1;
    }
    return errors;
  }

  sdk::Command command_;
  std::string dest_dir_;
  double timeout_s_, start_timeout_s_;
  std::uint64_t requests_ = 0;
  std::unique_ptr<sdk::Coprocess> program_;
};

MFDATA_PLUGIN("exec", "1.0.0", "treats files by a program that stays", "BSD-3-Clause",
              sdk::step<Exec>("main", "asks the program for each file"))
