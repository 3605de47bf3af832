#include "requests.hpp"

#include <algorithm>
#include <charconv>

namespace sdk = mfdata::sdk;

namespace exec_protocol {
namespace {

constexpr std::int64_t kLookForCancellation_ns = 200'000'000;

std::vector<std::pair<std::string, std::string>> tags_of(const sdk::File& file) {
  std::vector<std::pair<std::string, std::string>> tags;
  file.each_tag([&](std::string_view name, std::string_view value) { tags.emplace_back(name, value); });
  return tags;
}

std::optional<double> seconds_until(std::int64_t deadline_ns) {
  if (deadline_ns == 0) return std::nullopt;
  return static_cast<double>((deadline_ns - sdk::detail::monotonic_ns()) / 1'000'000) / 1000;
}

}  // namespace

Requests::Request Requests::say(const sdk::Context& call, const std::vector<sdk::File*>& files, bool as_batch,
                                std::int64_t deadline_ns) {
  Request request;
  if (as_batch) request.batch = next_id();
  const std::string scratch = call.scratch_dir();
  const auto left = seconds_until(deadline_ns);
  for (const sdk::File* file : files) {
    request.files.push_back(next_id());
    program_.say(file_message({request.files.back(), request.batch, file->path(), scratch, tags_of(*file), left},
                              program_.encoding()));
  }
  if (as_batch) program_.say(batch_message(request.batch, request.files, left));
  request.last = as_batch ? request.batch : request.files.front();
  return request;
}

// Answers of the program before are told from those that nobody can have given.
bool Requests::was_answered_before(const Request& request, const std::string& id) const {
  std::uint64_t number = 0, first = 0;
  const std::string& lowest = request.batch.empty() ? request.files.front() : request.batch;
  std::from_chars(lowest.data(), lowest.data() + lowest.size(), first);
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  return error == std::errc() && end == id.data() + id.size() && number > 0 && number < first;
}

// A program that can be told to stop early is told when the host wants it.
Program::Event Requests::next(const sdk::Context& call, const Request& request, std::int64_t deadline_ns) {
  if (!program_.has("cancel")) return program_.next(deadline_ns);
  while (true) {
    if (!told_to_cancel_ && call.cancelled()) {
      program_.say(cancel_message(request.last));
      told_to_cancel_ = true;
    }
    const std::int64_t slice = sdk::detail::monotonic_ns() + kLookForCancellation_ns;
    const bool last = told_to_cancel_ || (deadline_ns > 0 && deadline_ns <= slice);
    Program::Event event = program_.next(last ? deadline_ns : slice);
    if (last || event.what != Program::What::kTooLate) return event;
  }
}

// False: the program is at fault in a way that need not be these files', who may be asked for once more.
bool Requests::hear(const sdk::Context& call, const Request& request, std::int64_t deadline_ns, Heard& heard) {
  const auto lost = [&](const std::string& why) {
    heard.how = How::kLost;
    heard.why = why;
    program_.end();
  };
  told_to_cancel_ = false;
  while (!heard.answers.contains(request.last)) {
    Program::Event event = next(call, request, deadline_ns);
    if (event.what == Program::What::kTooLate) return lost("took too long and was ended"), true;
    if (event.what != Program::What::kMessage) {
      const bool before_it_saw_them = event.willingly && heard.answers.empty();
      return lost(event.why), !before_it_saw_them;
    }
    const Answer* answer = std::get_if<Answer>(&event.message);
    if (!answer) return lost("wrote a message that is none of a step"), true;
    const bool asked_for = answer->id == request.last || std::find(request.files.begin(), request.files.end(),
                                                                   answer->id) != request.files.end();
    if (!asked_for) {
      const bool twice = was_answered_before(request, answer->id);
      lost(twice ? "answered request " + answer->id + " once more" : "answered another request than it has");
      return !twice;
    }
    if (!heard.answers.emplace(answer->id, *answer).second) return lost("answered request " + answer->id + " twice"), true;
  }
  return true;
}

Requests::Heard Requests::ask(const sdk::Context& call, const std::vector<sdk::File*>& files, bool as_batch) {
  for (int attempt = 0;; ++attempt) {
    Heard heard;
    if (const std::string wrong = program_.make_ready(call); !wrong.empty()) {
      heard.how = How::kNotStarted;
      heard.why = wrong;
      return heard;
    }
    const std::int64_t deadline_ns = sdk::command_deadline(call, timeout_s_);
    const Request request = say(call, files, as_batch, deadline_ns);
    heard.ids = request.files;
    heard.batch = request.batch;
    if (hear(call, request, deadline_ns, heard) || attempt > 0) return heard;
  }
}

}  // namespace exec_protocol
