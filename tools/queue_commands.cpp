// queue list, show, drop, move; pause and resume.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "control_client.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/counted.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/settings_places.hpp"
#include "libmfdata/waiting_file.hpp"
#include "operated_home.hpp"
#include "progress.hpp"
#include "treatments.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

// A step that is configured, or whose files still wait though its plugin is gone.
Result<void> check_step(const Operated& at, const std::string& step, bool must_be_configured) {
  if (is_configured(at.home, at.settings.general, step).value_or(false)) return {};
  if (!must_be_configured && step.find('/') != std::string::npos && at.spool.disk().exists(layout::step_directory(dotted(step)))) return {};
  std::vector<std::string> known;
  Problems ignored;
  for (const PluginSettings& plugin : load_settings(at.home, ignored).plugins) {
    for (const StepSettings& one : plugin.steps) known.push_back(one.slashed());
  }
  const auto near = near_miss(step, known);
  return Error{Code::kNotFound, 0, "there is no step \"" + printable(step, 100) + '"' + (near ? ", did you mean \"" + *near + "\"?" : ": steps are written PLUGIN/STEP")};
}

// Steps before which there may be files: those of the disk.
std::vector<std::string> steps_on_disk(const Spool& spool) {
  std::vector<std::string> steps;
  auto top = spool.disk().list(".");
  if (!top) return steps;
  for (const std::string& name : *top) {
    if (name.starts_with("step.") && !name.ends_with("_reinject")) steps.push_back(name.substr(5));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

const char* state_of(const WaitingFile& file) { return file.in_hand ? "in hand" : !file.name ? "arrival" : file.due_ms != 0 ? "retry" : "waiting"; }

json described(const Operated& at, const WaitingFile& file, bool with_tags) {
  json out = {{"step", slashed(file.step)}, {"name", file.basename()}, {"state", state_of(file)}, {"size", file.size}};
  out["age_s"] = std::max<std::int64_t>(0, ::time(nullptr) - (file.name ? uid_time_ms(file.name->uid) / 1000 : file.since_s));
  out["waits_s"] = std::max<std::int64_t>(0, ::time(nullptr) - file.since_s);
  out["path"] = at.spool.disk().absolute(file.path);
  out["original_name"] = file.name ? "" : file.basename();
  if (file.watched) out["directory"] = file.path.substr(0, file.path.rfind('/'));
  if (!file.name) return out;
  out["uid"] = file.name->uid;
  out["crashes"] = file.name->crashes;
  if (file.due_ms != 0) out["due_in_s"] = static_cast<double>(file.due_ms - std::int64_t{::time(nullptr)} * 1000) / 1000;
  auto context = context_of(at.spool, file);
  if (!context) {
    out["error"] = context.error().text;
    return out;
  }
  const auto tag = [&](const std::string& name) { return std::string(context->tags.get(name).value_or("")); };
  out["original_name"] = tag("first.core.original_basename");
  const std::string attempts = tag("latest." + file.step + "_reinject.attempt");
  out["attempts"] = attempts.empty() ? 0 : std::atoi(attempts.c_str());
  if (!with_tags) return out;
  out["tags"] = json::object();
  for (const auto& [name, value] : context->tags) out["tags"][std::string(name)] = value;
  return out;
}

std::string dumped(const json& value) { return value.dump(2, ' ', false, json::error_handler_t::replace); }

// What workers have in hand, and what stands in watched directories: shown, but not to be changed from outside.
Result<std::vector<WaitingFile>> out_of_reach(const Operated& at, const std::string& only_step) {
  std::vector<WaitingFile> all;
  const auto add = [&](Result<std::vector<WaitingFile>> files) -> Result<void> {
    if (!files) return files.error();
    std::move(files->begin(), files->end(), std::back_inserter(all));
    return {};
  };
  for (const std::string& step : only_step.empty() ? steps_on_disk(at.spool) : std::vector<std::string>{dotted(only_step)}) {
    MFDATA_TRY(add(files_in_hand(at.spool, step)));
  }
  for (const Watched& watched : watched_directories(at)) {
    if (only_step.empty() || watched.step == only_step) MFDATA_TRY(add(watched_files(at.spool, dotted(watched.step), watched.directory, watched.ignore)));
  }
  return all;
}

// Those that the options choose; an error for one that is not there.
Result<std::vector<WaitingFile>> chosen(const Operated& at, const QueueOptions& options, bool changes) {
  std::vector<WaitingFile> all;
  for (const std::string& step : options.step.empty() ? steps_on_disk(at.spool) : std::vector<std::string>{dotted(options.step)}) {
    auto files = waiting_files(at.spool, step);
    if (!files) return files.error();
    std::move(files->begin(), files->end(), std::back_inserter(all));
  }
  const auto is = [](const WaitingFile& file, const std::string& name) { return file.basename() == name || (file.name && file.name->uid == name); };
  auto others = changes && options.names.empty() ? Result<std::vector<WaitingFile>>(std::vector<WaitingFile>()) : out_of_reach(at, options.step);
  if (!others) return others.error();
  if (!changes) std::move(others->begin(), others->end(), std::back_inserter(all));
  for (const std::string& name : options.names) {
    if (std::any_of(all.begin(), all.end(), [&](const WaitingFile& file) { return is(file, name); })) continue;
    const auto other = changes ? std::find_if(others->begin(), others->end(), [&](const WaitingFile& file) { return is(file, name); }) : others->end();
    if (other != others->end() && other->in_hand) {
      return Error{Code::kRefused, 0, printable(name, 100) + " is in hand of a worker: try again when it is done, or end its treatment with mfdata kill " + options.step};
    }
    if (other != others->end()) {
      return Error{Code::kRefused, 0, printable(name, 100) + " is not accepted yet: it stands in " + at.spool.disk().absolute(other->path) + ", where it can be moved or removed by hand"};
    }
    return Error{Code::kNotFound, 0, "no file " + printable(name, 100) + " waits before " + options.step + ": see mfdata queue list " + options.step};
  }
  std::erase_if(all, [&](const WaitingFile& file) {
    if (changes && !file.name && options.names.empty()) return true;  // perhaps somebody's unfinished upload: only by its name
    const bool named = options.names.empty() || std::any_of(options.names.begin(), options.names.end(), [&](const std::string& name) { return is(file, name); });
    return !named || static_cast<double>(::time(nullptr) - file.since_s) < options.older_s.value_or(0);
  });
  return all;
}

// Does it to each that is chosen; the exit code.
template <class Deed>
int for_each_chosen(const std::string& option, const QueueOptions& options, const char* done_word, Deed&& deed) {
  if (!options.all && options.names.empty() && !options.older_s) return misuse("say which files: NAMES or UIDs, --older, or --all");
  auto at = operate(option);
  if (!at) return fail(at.error().text);
  if (auto believed = check_clock(*at, options.older_s.has_value()); !believed) return fail(believed.error().text);
  if (auto known = check_step(*at, options.step, false); !known) return fail(known.error().text);
  if (!options.target.empty()) {
    if (auto known = check_step(*at, options.target, true); !known) return fail(known.error().text);
  }
  const auto turn = take_turn(*at);
  if (!turn) return fail(turn.error().text);
  const Slot slot{dotted(options.step), kToolSlot};
  if (auto opened = open_slot(at->spool, slot); !opened) return fail(opened.error().text);
  auto files = chosen(*at, options, true);
  if (!files) return fail(files.error().text);
  std::size_t done = 0, looked_at = 0;
  int code = 0;
  Progress progress("queue", files->size());
  for (const WaitingFile& file : *files) {
    progress.step(looked_at++);
    const Result<void> result = deed(at->spool, file, slot);
    if (!result && !result.is(Code::kGone)) progress.clear();
    if (result) {
      ++done;
    } else if (!result.is(Code::kGone)) {  // gone: its turn came
      code = fail(result.error().text);
    }
  }
  progress.clear();
  std::cout << counted(done, "file") << ' ' << done_word << '\n';
  return code;
}

int ask_to(const std::string& option, const char* command, const std::string& step) {
  auto home = find_home(option);
  if (!home) return fail(home.error().text);
  auto reply = ask_loader(*home, json{{"command", command}, {"step", step}}.dump(-1, ' ', false, json::error_handler_t::replace));
  if (!reply) return fail(reply.error().text);
  const json answer = json::parse(*reply, nullptr, false);
  if (!answer.is_object()) return fail("the loader's answer is no JSON");
  if (answer.contains("error")) return fail(answer["error"].get<std::string>());
  std::cout << step << (answer.value("paused", false) ? " is paused; to go on: mfdata resume " + step : " is resumed") << '\n';
  return 0;
}

}  // namespace

int list_queue(const std::string& home, const QueueOptions& options, bool as_json) {
  auto at = operate(home);
  if (!at) return fail(at.error().text);
  if (!options.step.empty()) {
    if (auto known = check_step(*at, options.step, false); !known) return fail(known.error().text);
  }
  auto files = chosen(*at, options, false);
  if (!files) return fail(files.error().text);
  const std::size_t shown = options.limit == 0 ? files->size() : std::min<std::size_t>(files->size(), options.limit);
  if (as_json) {
    json out = json::array();
    for (std::size_t i = 0; i < shown; ++i) out.push_back(described(*at, (*files)[i], false));
    std::cout << dumped(out) << '\n';
    return 0;
  }
  if (files->empty()) {
    std::cout << "nothing waits\n";
    return 0;
  }
  std::printf("%-24s %-36s %-8s %8s %12s %8s  %s\n", "STEP", "NAME", "STATE", "AGE s", "SIZE", "ATTEMPTS", "ORIGINAL NAME");
  for (std::size_t i = 0; i < shown; ++i) {
    const json file = described(*at, (*files)[i], false);
    std::printf("%-24s %-36s %-8s %8lld %12llu %8d  %s\n", file["step"].get<std::string>().c_str(), printable(file["name"].get<std::string>(), 60).c_str(),
                state_of((*files)[i]), file["age_s"].get<long long>(), file["size"].get<unsigned long long>(), file.value("attempts", 0),
                printable(file["original_name"].get<std::string>(), 80).c_str());
  }
  if (shown < files->size()) std::cout << "and " << files->size() - shown << " more (--limit 0 shows all)\n";
  return 0;
}

int show_queue(const std::string& home, const QueueOptions& options) {
  auto at = operate(home);
  if (!at) return fail(at.error().text);
  if (auto known = check_step(*at, options.step, false); !known) return fail(known.error().text);
  auto files = chosen(*at, options, false);
  if (!files) return fail(files.error().text);
  for (const WaitingFile& file : *files) std::cout << dumped(described(*at, file, true)) << '\n';
  return 0;
}

int drop_queue(const std::string& home, const QueueOptions& options) {
  return for_each_chosen(home, options, "removed", [](const Spool& spool, const WaitingFile& file, const Slot& slot) { return drop_waiting(spool, file, slot); });
}

int move_queue(const std::string& home, const QueueOptions& options) {
  const std::string done = "moved before " + options.target;
  return for_each_chosen(home, options, done.c_str(), [&](const Spool& spool, const WaitingFile& file, const Slot& slot) {
    return move_waiting(spool, file, dotted(options.target), slot);
  });
}

// The treatments that hang are told by status; here they end. What ended is told by the loader at once, the worker itself may
// take its time: one that waits for a disk or a server that does not answer cannot even be killed.
int kill_step(const std::string& option, const std::string& step, bool all, bool charge) {
  auto home = find_home(option);
  if (!home) return fail(home.error().text);
  auto reply = ask_loader(*home, json{{"command", "kill"}, {"step", step}, {"all", all}, {"charge", charge}}.dump(-1, ' ', false, json::error_handler_t::replace));
  if (!reply) return fail(reply.error().text);
  const json answer = json::parse(*reply, nullptr, false);
  if (!answer.is_object()) return fail("the loader's answer is no JSON");
  if (answer.contains("error")) return fail(answer["error"].get<std::string>());
  const json ended = answer.value("ended", json::array());
  if (ended.empty()) return fail(step + " has nothing in hand");
  for (const json& one : ended) std::cout << step << ": ended the treatment of " << treatment_text(*home, step, one) << '\n';
  std::cout << (charge ? "It counts as a crash: after [loader] max_crashes of them a file goes to trash, until then it is tried again.\n"
                       : "The file goes back before its step and is tried again. To keep it out: mfdata pause " + step + ", then mfdata queue move or drop.\n");
  const auto lives = [&](const json& one) {
    const json treatments = treatments_in_hand(*home);
    return std::any_of(treatments.begin(), treatments.end(), [&](const json& now) { return now.value("pid", 0) == one.value("pid", 0); });
  };
  const std::int64_t until = monotonic_ns() + 10'000'000'000;
  for (const json& one : ended) {
    while (lives(one)) {
      if (monotonic_ns() > until) return fail("worker " + one.value("pid", json()).dump() + " does not end: the system keeps it, perhaps in a call to a disk or server that does not answer");
      ::usleep(20'000);
    }
  }
  return 0;
}

int pause_step(const std::string& home, const std::string& step) { return ask_to(home, "pause", step); }
int resume_step(const std::string& home, const std::string& step) { return ask_to(home, "resume", step); }

}  // namespace mfdata::tools
