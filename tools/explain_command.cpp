// explain: what the rules of switch make of a file.
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <map>
#include <mfdata/content.hpp>
#include <mfdata/routing.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "commands.hpp"
#include "interrupts.hpp"
#include "libmfdata/arrival.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/tagged_file.hpp"
#include "libmfdata/waiting_file.hpp"
#include "operated_home.hpp"
#include "rule_set.hpp"
#include "trial_run.hpp"
#include "wire/predicate_process.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

constexpr std::size_t kShownValue = 80;

// A file as it comes to switches: all of them when it has tags already; otherwise those that its entry step sends it to.
struct Seen {
  struct AtSwitch {
    std::string name;  // of the switch; empty: every one
    TagSet tags;
    std::string path;  // of its content
  };
  json entry;  // what the entry step made of a plain file; null: it has tags
  std::vector<AtSwitch> at_switch;
  std::string log;               // what it said, in lines that begin with "<level>"
  boost::filesystem::path kept;  // the home that the entry step ran in

  Seen() = default;
  Seen(const Seen&) = delete;
  Seen& operator=(const Seen&) = delete;
  ~Seen() {
    boost::system::error_code code;
    if (!kept.empty()) boost::filesystem::remove_all(kept, code);
  }
};

Result<void> assign(TagSet& tags, const std::vector<std::string>& assignments) {
  for (const std::string& assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos) return Error{Code::kBadData, 0, "a tag is written NAME=VALUE, not \"" + assignment + '"'};
    MFDATA_TRY(tags.set(assignment.substr(0, equals), assignment.substr(equals + 1)));
  }
  return {};
}

std::string plugin_of(const std::string& step) { return step.substr(0, step.find('/')); }

// Where it would arrive: the watched directory that it stands in, otherwise incoming.
std::string directory_of_arrival(const Settings& settings, const std::string& file) {
  const std::string parent = boost::filesystem::absolute(file).parent_path().string();
  const std::string inside = settings.general.data_dir + '/';
  const bool watched = &settings.general.watch_of(parent) != &settings.general.defaults;
  return watched ? parent : inside + layout::kIncoming;
}

// What an arrival meets before any step: an error says why nobody takes it.
Result<void> check_arrival(const Settings& settings, const std::string& file) {
  const auto refused = [&](const std::string& why) { return Error{Code::kRefused, 0, printable(file, 200) + " is not taken when it arrives: " + why}; };
  struct stat st {};
  if (::stat(file.c_str(), &st) != 0) return system_error(errno, "cannot look at " + file);
  if (!S_ISREG(st.st_mode)) return refused("it is no regular file");
  if (static_cast<std::uint64_t>(st.st_size) > settings.general.max_file_size) {
    return refused("it has " + std::to_string(st.st_size) + " bytes, and [data] max_file_size is " + std::to_string(settings.general.max_file_size));
  }
  const std::string name = boost::filesystem::path(file).filename().string(), directory = directory_of_arrival(settings, file);
  if (const auto pattern = ignoring_pattern(settings.general.watch_of(directory).ignore, name)) return refused("a file of this name is ignored ([data] ignore, " + *pattern + ')');
  return {};
}

// An entry step runs as whoever asks, and takes only libraries of that user or of root.
Result<void> check_user(const Home& home) {
  struct stat st {};
  if (::geteuid() != 0 || ::stat(home.root.c_str(), &st) != 0 || st.st_uid == 0) return {};
  const passwd* user = ::getpwuid(st.st_uid);
  return Error{Code::kRefused, 0, "the entry step would run as root here: run this as " + (user ? std::string(user->pw_name) : "user " + std::to_string(st.st_uid)) +
                                      ", the owner of " + home.root.string()};
}

// Where an output went, as it would in earnest: "plugin/step", or a path.
std::string destination(const std::string& to) {
  constexpr std::string_view kOutside = "{home}/deliveries/";
  return to.starts_with(kOutside) ? to.substr(kOutside.size() - 1) : to;
}

// Says on stderr that the entry step has not ended: first after two seconds, then each ten.
class StillRuns {
 public:
  explicit StillRuns(const std::string& step) : step_(step) {}
  void operator()(double waited_s, double limit_s) {
    if (waited_s < next_s_) return;
    next_s_ = waited_s + 10;
    std::fprintf(stderr, "mfdata: %s still runs after %.0f s; it is killed after %g s, its timeout\n", step_.c_str(), waited_s, limit_s);
  }

 private:
  const std::string& step_;
  double next_s_ = 2;
};

// The entry step treats a copy, in a home of its own, and what it delivers stays there.
Result<void> enter(const std::string& home_option, const std::string& entry_step, const std::string& file, const std::string& directory,
                   const std::set<std::string>& switches, Seen& seen) {
  RunOptions run;
  run.plugin = entry_step;
  run.file = file;
  run.installed = true;
  run.keep = true;  // until the rules have looked at what came out
  Variation variation;
  variation.delivers_inside = true;
  variation.directory = directory;
  variation.waiting = StillRuns(entry_step);
  std::fprintf(stderr, "mfdata: %s runs on a copy now: what it delivers is taken away again, but what it sends, and what its commands do, is really done\n",
               entry_step.c_str());
  auto out = run_trial(home_option, run, variation);
  if (!out && InterruptsNoted::any()) return out.error();
  if (!out) return Error{out.error().code, 0, "the entry step " + entry_step + " cannot be run: " + out.error().text};
  seen.log = (*out)["log"].get<std::string>();
  seen.kept = (*out)["kept"].get<std::string>();
  seen.entry = {{"step", entry_step}, {"result", (*out)["result"]}, {"reason", (*out)["reason"]}, {"outputs", json::array()}};
  for (const json& output : (*out)["outputs"]) {
    const std::string to = output["to"].get<std::string>();
    seen.entry["outputs"].push_back(destination(to));
    if (!switches.contains(plugin_of(to)) || !output["tags"].is_object()) continue;
    TagSet tags;
    for (const auto& [name, value] : output["tags"].items()) MFDATA_TRY(tags.set(name, value.get<std::string>()));
    seen.at_switch.push_back({plugin_of(to), std::move(tags), output["path"].get<std::string>()});
  }
  return {};
}

Result<void> look_at(const std::string& home_option, const Home& home, const Settings& settings, const ExplainOptions& options, const std::set<std::string>& switches,
                     Seen& seen) {
  auto file = TaggedFile::open(options.file);
  if (!file) return file.error();
  auto context = file->context();
  if (!context) MFDATA_TRY(check_arrival(settings, options.file));
  if (!context && !context.is(Code::kGone)) return Error{context.error().code, 0, options.file + ": " + context.error().text};
  const std::string path = boost::filesystem::absolute(options.file).string();
  const std::string& entry_step = settings.general.entry_step;
  if (context) {
    seen.at_switch.push_back({"", context->tags, path});
  } else {
    std::fprintf(stderr, "mfdata: %s has no tags: this is what would become of it if it arrived now\n", printable(options.file, 200).c_str());
    const std::string directory = directory_of_arrival(settings, options.file);
    if (switches.contains(plugin_of(entry_step))) {
      seen.entry = {{"step", entry_step}, {"result", "not run"}, {"reason", ""}, {"outputs", json::array()}};
      seen.at_switch.push_back({plugin_of(entry_step), first_tags(directory, boost::filesystem::path(path).filename().string(), fresh_uid()), path});
    } else {
      MFDATA_TRY(check_user(home));
      MFDATA_TRY(enter(home_option, entry_step, options.file, directory, switches, seen));
    }
  }
  for (Seen::AtSwitch& at : seen.at_switch) MFDATA_TRY(assign(at.tags, options.tags));
  return {};
}

// The rules addressed to one switch, and what they make of a file.
class Explanation {
 public:
  Explanation(const Settings& settings, const Home& home, std::string name, std::vector<SwitchRule> rules) : switch_(std::move(name)), rules_(std::move(rules)) {
    for (const SwitchRule& rule : rules_) targets_.emplace_back(rule.targets.begin(), rule.targets.end());
    wire::WorkerSettings worker;
    worker.home = home.root.string();
    worker.data_dir = settings.general.data_dir;
    worker.durability = settings.general.durability;
    worker.step.plugin = switch_;
    worker.step.name = "main";
    worker.rules = rules_;
    worker.predicate_timeout_s = settings.general.predicate_timeout_s;
    Problems problems;
    worker.predicates = wire::predicates_of(rules_, settings, home, problems);
    auto program = find_program("mfdata-worker");
    predicates_ = std::make_unique<PredicateProcess>(program ? *program : "mfdata-worker", worker, [](bool, const std::string& text) { fail(text); });
  }

  json of(const std::string& path, const TagSet& tags) {
    json out = {{"switch", switch_}, {"rules", json::array()}, {"targets", json::array()}};
    RuleSet all;
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      RuleSet one;
      std::string problem = one.add(shown(i));
      if (problem.empty()) (void)all.add(shown(i));
      const bool matches = problem.empty() && !one.targets(facts(path, tags, problem)).empty();
      const SwitchRule& rule = rules_[i];
      json row = {{"file", rule.where.file}, {"line", rule.where.line}, {"plugin", rule.plugin}, {"type", rule.type}, {"pattern", rule.pattern},
                  {"match", matches}, {"targets", rule.targets}};
      if (!rule.tag.empty()) {
        row["tag"] = rule.tag;
        row["value"] = tags.get(rule.tag).value_or("{NOT_FOUND}");
      }
      if (!problem.empty()) row["problem"] = problem;
      out["rules"].push_back(std::move(row));
    }
    std::string ignored;
    for (const sdk::Target& target : all.targets(facts(path, tags, ignored))) {
      out["targets"].push_back({{"step", target.step}, {"link_allowed", target.link}});
    }
    return out;
  }

 private:
  sdk::Rule shown(std::size_t i) const { return {i, rules_[i].type, rules_[i].tag, rules_[i].pattern, rules_[i].plugin, "", targets_[i]}; }
  Facts facts(const std::string& path, const TagSet& tags, std::string& problem) {
    return {[&tags](const std::string& name) {
              const auto value = tags.get(name);
              return value ? std::optional<std::string>(*value) : std::nullopt;
            },
            [this, &path, &tags](std::uint64_t rule) -> std::optional<bool> {
              auto [answer, is_new] = answers_.try_emplace(rule);
              if (is_new) answer->second = predicates_->test(static_cast<std::uint32_t>(rule), path, tags, 0);
              return answer->second.code < 0 ? std::nullopt : std::optional(answer->second.code != 0);
            },
            [this, &path](std::size_t size) { return sdk::beginning_of(path, size, content_); },
            [&problem](const std::string&, const std::string& why) { problem = why; }};
  }

  std::string switch_;
  std::vector<SwitchRule> rules_;
  std::vector<std::vector<std::string_view>> targets_;
  std::unique_ptr<PredicateProcess> predicates_;
  std::string content_;  // the first bytes of the file
  std::map<std::uint64_t, wire::Answer> answers_;  // of code rules: each is asked once
};

std::string quoted(const std::string& text) { return '"' + printable(text, kShownValue) + (text.size() > kShownValue ? "..\"" : "\""); }

void print(const json& explained, bool matching_only) {
  std::cout << "rules of " << explained["switch"].get<std::string>() << ":\n";
  for (const json& rule : explained["rules"]) {
    const bool matches = rule["match"].get<bool>();
    if (matching_only && !matches && !rule.contains("problem")) continue;
    std::cout << (matches ? "  match     " : rule.contains("problem") ? "  problem   " : "  no match  ") << rule["file"].get<std::string>() << ':' << rule["line"] << "  "
              << rule["type"].get<std::string>() << ' ' << quoted(rule["pattern"].get<std::string>());
    if (rule.contains("tag")) std::cout << "  " << rule["tag"].get<std::string>() << " = " << quoted(rule["value"].get<std::string>());
    std::cout << "  ->";
    for (const json& target : rule["targets"]) std::cout << ' ' << target.get<std::string>();
    if (rule.contains("problem")) std::cout << "  (" << printable(rule["problem"].get<std::string>(), 200) << ')';
    std::cout << '\n';
  }
  std::cout << "  goes to:";
  for (const json& target : explained["targets"]) std::cout << ' ' << target["step"].get<std::string>() << (target["link_allowed"].get<bool>() ? "*" : "");
  if (explained["targets"].empty()) std::cout << " nowhere: no rule matches, and it is " << explained["unmatched"].get<std::string>();
  std::cout << '\n';
}

void print_entry(const json& entry) {
  if (entry["result"] == "not run") return;
  std::cout << entry["step"].get<std::string>() << ": " << entry["result"].get<std::string>();
  if (const std::string reason = entry["reason"].get<std::string>(); !reason.empty()) std::cout << ": " << printable(reason, 300);
  if (!entry["outputs"].empty()) std::cout << "  ->";
  for (const json& to : entry["outputs"]) std::cout << ' ' << printable(to.get<std::string>(), 300);
  if (entry["outputs"].empty() && entry["result"] == "ok") std::cout << "  -> nothing: the file ends there";
  std::cout << '\n';
}

// The last lines that a step said which did not treat the file.
void tell_log(const std::string& log) {
  constexpr std::size_t kLines = 10;
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < log.size();) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    std::string line = log.substr(at, end - at);
    if (line.size() > 3 && line[0] == '<' && line[2] == '>') line.erase(0, 3);
    lines.push_back(printable(line, 500));
    at = end + 1;
  }
  for (std::size_t i = lines.size() - std::min(lines.size(), kLines); i < lines.size(); ++i) std::cerr << "  " << lines[i] << '\n';
}

// What becomes of a file that no rule of the switch matches.
std::string unmatched_at(const Settings& settings, const std::string& name) {
  const PluginSettings* plugin = settings.find_plugin(name);
  const ConfigValue* policy = plugin ? plugin->custom.find("no_match_policy") : nullptr;
  const std::string word = policy && policy->kind() == ConfigValue::Kind::kString ? policy->string() : "keep";
  return word == "keep" ? "kept in trash (no_match_policy = \"keep\")" : "deleted (no_match_policy = \"" + word + "\")";
}

}  // namespace

int explain(const std::string& option, const ExplainOptions& options, bool as_json) {
  auto at = operate(option, Reads::kEverything);
  if (!at) return fail(at.error().text);
  const Settings& settings = at->settings;
  for (const Problem& problem : settings.rule_problems) std::cerr << problem.spell() << '\n';
  std::map<std::string, std::vector<SwitchRule>> by_switch;
  std::set<std::string> switches = {"switch"};
  for (const PluginSettings& plugin : settings.plugins) {
    for (const SwitchRule& rule : plugin.rules) by_switch[rule.switch_plugin].push_back(rule);
    for (const SwitchRule& rule : plugin.rules) switches.insert(rule.switch_plugin);
  }
  const InterruptsNoted noted;  // nothing stays behind
  Seen seen;
  if (auto looked = look_at(option, at->home, settings, options, switches, seen); !looked) return fail(looked.error().text);
  if (by_switch.empty() && settings.rule_problems.empty() && !seen.at_switch.empty() && !as_json)
    std::cout << "no plugin has rules: see [[switch_rules]] in plugin.toml\n";
  if (!seen.entry.is_null() && !as_json) print_entry(seen.entry);
  json all = json::array();
  for (const Seen::AtSwitch& came : seen.at_switch) {
    if (!came.name.empty()) by_switch.try_emplace(came.name);  // one without rules, too
    for (const auto& [name, rules] : by_switch) {
      if (!came.name.empty() && name != came.name) continue;
      if (InterruptsNoted::any()) return fail("interrupted");
      Explanation explanation(settings, at->home, name, rules);
      all.push_back(explanation.of(came.path, came.tags));
      all.back()["unmatched"] = unmatched_at(settings, name);
      if (!seen.entry.is_null()) all.back()["entry"] = seen.entry;
      if (!as_json) print(all.back(), options.matching_only);
    }
  }
  if (InterruptsNoted::any()) return fail("interrupted");
  if (all.empty() && !seen.entry.is_null()) all.push_back({{"switch", ""}, {"rules", json::array()}, {"targets", json::array()}, {"entry", seen.entry}});
  if (as_json) std::cout << all.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  const std::string result = seen.entry.is_null() ? "" : seen.entry["result"].get<std::string>();
  if (result != "died" && result != "not treated") return 0;
  tell_log(seen.log);
  return 1;
}

}  // namespace mfdata::tools
