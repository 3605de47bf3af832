// trash list, show, retry, purge.
#include <fnmatch.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "commands.hpp"
#include "libmfdata/counted.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/tagged_file.hpp"
#include "libmfdata/trashed_file.hpp"
#include "operated_home.hpp"
#include "progress.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

struct Entry {
  TrashedFile file;
  json note;
  double age_s = 0;  // since it came into trash
};

std::string text_of(const json& note, const char* key) { return note.contains(key) && note[key].is_string() ? note[key].get<std::string>() : ""; }

// The note is JSON, where a byte that is no UTF-8 cannot stand: the file's own tags have it.
std::string original_name(const Spool& spool, const TrashedFile& file, const json& note) {
  constexpr const char* kReplaced = "\xef\xbf\xbd";
  std::string name = text_of(note, "original_name");
  if (name.find(kReplaced) == std::string::npos) return name;
  auto tagged = TaggedFile::open(spool.disk().absolute(file.path));
  auto context = tagged ? tagged->context() : Result<Context>(tagged.error());
  const auto original = context ? context->tags.get("first.core.original_basename") : std::nullopt;
  return original ? std::string(*original) : name;
}

double age_of(const json& note) {
  tm utc{};
  const std::string text = text_of(note, "trashed");
  if (!::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc)) return 0;
  return static_cast<double>(::time(nullptr) - ::timegm(&utc));
}

// What the options choose; an error for a uid that is not there.
Result<std::vector<Entry>> chosen(const Spool& spool, const TrashOptions& options) {
  auto files = trashed_files(spool);
  if (!files) return files.error();
  for (const std::string& uid : options.uids) {
    const auto found = std::find_if(files->begin(), files->end(), [&](const TrashedFile& file) { return file.name.uid == uid; });
    if (found == files->end()) return Error{Code::kNotFound, 0, "no file " + printable(uid, 100) + " is in trash: see mfdata trash list"};
  }
  std::vector<Entry> entries;
  for (TrashedFile& file : *files) {
    json note = json::parse(file.note, nullptr, false);
    if (!note.is_object()) note = {{"uid", file.name.uid}, {"reason", "unknown"}, {"error", "its note is missing"}};
    const double age_s = age_of(note);
    if (!options.uids.empty() && std::find(options.uids.begin(), options.uids.end(), file.name.uid) == options.uids.end()) continue;
    if (!options.step.empty() && slashed(file.step) != options.step) continue;
    if (!options.reason.empty() && text_of(note, "reason") != options.reason) continue;
    if (!options.name.empty() && ::fnmatch(options.name.c_str(), original_name(spool, file, note).c_str(), 0) != 0) continue;
    if (age_s < options.older_s.value_or(0)) continue;
    note["path"] = spool.disk().absolute(file.path);
    entries.push_back({std::move(file), std::move(note), age_s});
  }
  return entries;
}

// Of a filter that nothing in trash passes: what there is, and what was probably meant. Empty: there is nothing, or it is right.
std::string about_filter(const char* what, const std::string& given, const std::set<std::string>& there) {
  if (given.empty() || there.empty() || there.contains(given)) return "";
  const std::vector<std::string> words(there.begin(), there.end());
  const auto near = near_miss(given, words);
  return "mfdata: nothing in trash has the " + std::string(what) + " \"" + printable(given, 100) + '"' +
         (near ? ": did you mean \"" + printable(*near, 100) + "\"?" : ", but " + printable(joined(words), 300)) + '\n';
}

void say_what_there_is(const Spool& spool, const TrashOptions& options) {
  const auto all = chosen(spool, {});
  if (!all) return;
  const bool one_name = options.name.find_first_of("*?[") == std::string::npos;  // no pattern
  std::set<std::string> steps, reasons, names;
  for (const Entry& entry : *all) {
    steps.insert(slashed(entry.file.step));
    reasons.insert(text_of(entry.note, "reason"));
    if (one_name) names.insert(original_name(spool, entry.file, entry.note));
  }
  std::cerr << about_filter("name", options.name, names) << about_filter("step", options.step, steps) << about_filter("reason", options.reason, reasons);
}

bool chooses_something(const TrashOptions& options) {
  return options.all || !options.uids.empty() || !options.step.empty() || !options.reason.empty() || !options.name.empty() || options.older_s;
}

// Does it to each that is chosen; the exit code.
template <class Deed>
int for_each_chosen(const std::string& home, const TrashOptions& options, const char* done_word, Deed&& deed) {
  if (!chooses_something(options)) return misuse("say which files: UIDs, --step, --reason, --name, --older, or --all");
  auto at = operate(home);
  if (!at) return fail(at.error().text);
  if (auto believed = check_clock(*at, options.older_s.has_value()); !believed) return fail(believed.error().text);
  const auto turn = take_turn(*at);
  if (!turn) return fail(turn.error().text);
  auto entries = chosen(at->spool, options);
  if (!entries) return fail(entries.error().text);
  if (entries->empty()) say_what_there_is(at->spool, options);
  std::size_t done = 0, looked_at = 0;
  int code = 0;
  Progress progress("trash", entries->size());
  for (const Entry& entry : *entries) {
    progress.step(looked_at++);
    const Result<void> result = deed(at->spool, entry);
    if (!result && !result.is(Code::kGone)) progress.clear();
    if (result) {
      ++done;
    } else if (!result.is(Code::kGone)) {  // gone: somebody else was quicker
      code = fail(result.error().text);
    }
  }
  progress.clear();
  std::cout << counted(done, "file") << ' ' << done_word << '\n';
  return code;
}

}  // namespace

int list_trash(const std::string& home, const TrashOptions& options, bool as_json) {
  auto at = operate(home);
  if (!at) return fail(at.error().text);
  auto entries = chosen(at->spool, options);
  if (!entries) return fail(entries.error().text);
  if (as_json) {
    json out = json::array();
    for (const Entry& entry : *entries) out.push_back(entry.note);
    std::cout << out.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
    return 0;
  }
  if (entries->empty()) {
    std::cout << (chooses_something(options) ? "nothing in trash matches\n" : "nothing is in trash\n");
    say_what_there_is(at->spool, options);
    return 0;
  }
  std::printf("%-32s %-24s %-12s %8s %10s  %s\n", "UID", "STEP", "REASON", "AGE s", "SIZE", "NAME: ERROR");
  for (const Entry& entry : *entries) {
    const auto size = entry.note.contains("size") && entry.note["size"].is_number() ? entry.note["size"].get<unsigned long long>() : 0ULL;
    std::printf("%-32s %-24s %-12s %8.0f %10llu  %s: %s\n", entry.file.name.uid.c_str(), slashed(entry.file.step).c_str(), printable(text_of(entry.note, "reason"), 30).c_str(),
                entry.age_s, size, printable(text_of(entry.note, "original_name"), 60).c_str(), printable(text_of(entry.note, "error"), 100).c_str());
  }
  return 0;
}

int show_trash(const std::string& home, const std::string& uid) {
  auto at = operate(home);
  if (!at) return fail(at.error().text);
  TrashOptions options;
  options.uids = {uid};
  auto entries = chosen(at->spool, options);
  if (!entries) return fail(entries.error().text);
  std::cout << entries->front().note.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  return 0;
}

int retry_trash(const std::string& home, const TrashOptions& options) {
  return for_each_chosen(home, options, "back before their step", [](const Spool& spool, const Entry& entry) {
    return retry_trashed(spool, entry.file, text_of(entry.note, "reason") == "loop");
  });
}

int purge_trash(const std::string& home, const TrashOptions& options) {
  return for_each_chosen(home, options, "removed", [](const Spool& spool, const Entry& entry) { return purge_trashed(spool, entry.file); });
}

}  // namespace mfdata::tools
