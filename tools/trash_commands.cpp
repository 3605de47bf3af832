// trash list, show, retry, purge.
#include <fnmatch.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/trashed_file.hpp"
#include "operated_home.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

struct Entry {
  TrashedFile file;
  json note;
  double age_s = 0;  // since it came into trash
};

std::string text_of(const json& note, const char* key) { return note.contains(key) && note[key].is_string() ? note[key].get<std::string>() : ""; }

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
    if (!options.name.empty() && ::fnmatch(options.name.c_str(), text_of(note, "original_name").c_str(), 0) != 0) continue;
    if (age_s < options.older_s.value_or(0)) continue;
    note["path"] = spool.disk().absolute(file.path);
    entries.push_back({std::move(file), std::move(note), age_s});
  }
  return entries;
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
  const auto turn = take_turn(*at);
  if (!turn) return fail(turn.error().text);
  auto entries = chosen(at->spool, options);
  if (!entries) return fail(entries.error().text);
  std::size_t done = 0;
  int code = 0;
  for (const Entry& entry : *entries) {
    const Result<void> result = deed(at->spool, entry);
    if (result) {
      ++done;
    } else if (!result.is(Code::kGone)) {  // gone: somebody else was quicker
      code = fail(result.error().text);
    }
  }
  std::cout << done << (done == 1 ? " file " : " files ") << done_word << '\n';
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
    std::cout << "nothing is in trash\n";
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
