#include "libmfdata/config_rules.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

namespace mfdata {
namespace {

using T = KeyRule::Type;

const std::vector<KeyRule> kMfdataRules = {
    {"mfdata", "config_name", T::kString, "", "chooses the variants \"key[NAME]\" of this machine; MFDATA_CONFIG wins"},
    {"mfdata", "require_signatures", T::kBool, "false", "refuse every package without a trusted signature"},
    {"mfdata", "postinstall_timeout", T::kDuration, "10m", "the postinstall of a plugin that takes longer is killed, and has failed", nullptr, 0.1, 86400},
    {"data", "dir", T::kString, "{home}/var/in", "the data directory: incoming, the steps' directories, trash, tmp"},
    {"data", "entry_step", T::kString, "guess_file_type/main", "takes the files of watched directories that no step names"},
    {"data", "durability", T::kString, "accepted", "what survives a power cut", "process|accepted|every-hop"},
    {"data", "ignore", T::kStrings, ".* *.t *.tmp *.part *.filepart *.working", "names that are not ready (shell patterns)"},
    {"data", "ready", T::kReady, "close", "when a file is complete: close, rename (into the directory, whatever its name was), or quiet:5s"},
    {"data", "ready_at_start", T::kReadyAtStart, "quiet:60s",
     "with ready = \"rename\", a file that stood there at the start, when nobody saw renames: quiet:60s, or leave"},
    {"data", "foreign_quiet", T::kDuration, "60s",
     "where the loader cannot ask whether a file of another user is open: one that is known to be open, or that only a listing found, is "
     "complete when it has not changed for this long", nullptr, 0, 86400},
    {"data", "max_file_size", T::kSize, "100GB", "larger arrivals are refused"},
    {"data", "rescan_interval", T::kDuration, "300", "how often the directories are listed, whatever inotify said", nullptr, 1, 86400},
    {"data", "min_free_space", T::kShare, "5%", "below it nothing new is accepted: a share of the filesystem, or a size"},
    {"data", "min_free_inodes", T::kShare, "5%", "below it nothing new is accepted: a share of the inodes, or their number"},
    {"data", "no_space_max_wait", T::kDuration, "1h", "a file that alone does not fit, while there is room for others, goes to trash after so long; 0: never"},
    {"data", "trash_max_lifetime", T::kDuration, "7d", "files in trash are kept so long"},
    {"data", "tmp_max_lifetime", T::kDuration, "1h", "scratch of dead slots is kept so long"},
    {"data", "backlog_max_lifetime", T::kDuration, "0", "a waiting file older than this goes to trash; 0: never"},
    {"data", "idempotency_window", T::kDuration, "24h", "a listener's file that is sent again with the same key within this time is one file", nullptr, 60},
    {"data.watch.*", "ready", T::kReady, nullptr, "as [data] ready, for this directory"},
    {"data.watch.*", "ready_at_start", T::kReadyAtStart, nullptr, "as [data] ready_at_start, for this directory"},
    {"data.watch.*", "ignore", T::kStrings, nullptr, "as [data] ignore, for this directory"},
    {"data.watch.*", "foreign_quiet", T::kDuration, nullptr, "as [data] foreign_quiet, for this directory; one that grows after it was taken waits for that of [data]", nullptr, 0, 86400},
    {"loader", "cpu_policy", T::kString, "batch", "batch: who is woken waits for who runs (SCHED_BATCH); inherited: as the loader was started",
     "batch|inherited"},
    {"loader", "max_crashes", T::kInteger, "3", "after so many crashes on one file it goes to trash", nullptr, 1, 1000},
    {"loader", "predicate_timeout", T::kDuration, "1s", "a code rule of switch that takes longer counts as no match", nullptr, 0.01, 600},
    {"loader", "step_limit", T::kInteger, "1000", "a file with more hops is in a loop and goes to trash", nullptr, 1, 1e9},
    {"loader", "max_queued", T::kInteger, "100000", "names in memory per step; the rest stays on disk until there is room", nullptr, 100, 1e7},
    {"log", "level", T::kString, "info", "what is logged", "debug|info|warning|error"},
    {"log", "format", T::kString, "text", "how a line is written", "text|json"},
    {"log", "directory", T::kString, "{home}/log", "one file for the loader, one per step"},
    {"log", "rotate_size", T::kSize, "10MB", "a log file is renamed when it is larger", nullptr, 1000},
    {"log", "rotate_keep", T::kInteger, "5", "so many older log files are kept", nullptr, 0, 1000},
    {"metrics", "listen", T::kString, "127.0.0.1:9464", "address of /metrics, /healthz and /readyz; empty: none"},
};

const std::vector<SchemaType> kSchemaTypes = {
    {"string", T::kString, false, false, "a text; \"choices\" may say which"},
    {"bool", T::kBool, false, false, "true or false"},
    {"integer", T::kInteger, false, false, "a whole number, from \"min\" to \"max\""},
    {"real", T::kReal, false, false, "a number, from \"min\" to \"max\""},
    {"duration", T::kDuration, false, false, "seconds, or a text such as \"200ms\", \"10m\", \"2h\", \"7d\"; the plugin reads seconds"},
    {"size", T::kSize, false, false, "bytes, or a text such as \"10MB\", \"1GB\", \"4KiB\"; the plugin reads bytes"},
    {"strings", T::kStrings, false, false, "an array of texts"},
    {"path", T::kString, true, false, "a path"},
    {"target", T::kString, true, true, "where files go: a step, \"plugin/step\", which has to be there, or an absolute directory"},
    {"targets", T::kStrings, true, true, "an array of those"},
    {"any", T::kAny, false, false, "whatever TOML has"},
};

std::string names_of_schema_types() {
  std::string names;
  for (const SchemaType& type : kSchemaTypes) names += (names.empty() ? "" : "|") + std::string(type.name);
  return names;
}
const std::string kSchemaTypeNames = names_of_schema_types();

const std::vector<KeyRule> kPluginRules = {
    {"plugin", "name", T::kString, nullptr, "the plugin's name: A-Z a-z 0-9 _ -"},
    {"plugin", "version", T::kString, nullptr, "its version"},
    {"plugin", "library", T::kString, nullptr, "its shared object, relative to this file; or it has a base"},
    {"plugin", "base", T::kString, nullptr, "instead of a library: the plugin that came with mfdata by whose library it runs, \"exec\" for example"},
    {"plugin", "abi", T::kInteger, "1", "major version of the ABI it was built for", nullptr, 1, 1000},
    {"plugin", "summary", T::kString, "", "one line"},
    {"plugin", "license", T::kString, "", "SPDX identifier"},
    {"plugin", "maintainer", T::kString, "", "name and address"},
    {"plugin", "url", T::kString, "", "where it comes from"},
    {"step.*", "component", T::kString, "", "the library's component that runs it; empty: the step's name"},
    {"step.*", "numprocesses", T::kInteger, "1", "worker processes; 0: not started", nullptr, 0, 1000},
    {"step.*", "watched_directories", T::kStrings, "", "directories whose files enter here; relative ones under [data] dir"},
    {"step.*", "timeout", T::kDuration, "600", "a worker is killed after so long on one file, or in one call of its plugin", nullptr, 0.05, 1e9},
    {"step.*", "start_timeout", T::kDuration, "60", "a worker is killed that is not ready after so long", nullptr, 0.1, 86400},
    {"step.*", "max_age", T::kDuration, "0", "a worker is replaced after this plus a random part of it; 0: never"},
    {"step.*", "debug", T::kBool, "false", "one worker, log level debug, no max_age"},
    {"step.*", "max_queue", T::kInteger, "0", "more waiting files than this hold back the entrances; 0: never"},
    {"step.*", "rlimit_as", T::kSize, "0", "address space of a worker; 0: as inherited"},
    {"step.*", "rlimit_nofile", T::kInteger, "0", "open files of a worker; 0: as inherited"},
    {"step.*", "rlimit_stack", T::kSize, "0", "stack of a worker; 0: as inherited"},
    {"step.*", "rlimit_fsize", T::kSize, "0", "largest file a worker may write; 0: as inherited"},
    {"step.*", "failure_policy", T::kString, "keep", "what becomes of a file that could not be treated", "keep|delete|move"},
    {"step.*", "failure_policy_move_dest_dir", T::kString, "", "plugin/step, or an absolute directory"},
    {"step.*", "unmatched_policy", T::kString, "delete", "what becomes of a file that the step skips; of a switch, where it is not written, [custom] no_match_policy", "delete|keep"},
    {"step.*", "retry_total", T::kInteger, "0", "retries before the failure policy applies", nullptr, 0, 1e9},
    {"step.*", "retry_min_wait", T::kDuration, "10", "shortest wait before a retry"},
    {"step.*", "retry_max_wait", T::kDuration, "120", "longest wait before a retry"},
    {"step.*", "retry_backoff", T::kDuration, "0", "the wait grows by this times 2^(attempt-1)"},
    {"step.*", "max_size", T::kInteger, "100", "batch: at most so many files", nullptr, 1, 10000},
    {"step.*", "max_wait", T::kDuration, "10", "batch: at most so long after its first file"},
    {"step.*", "log_level", T::kString, "", "as [log] level, for this step", "|debug|info|warning|error"},
    {"listener.*", "component", T::kString, "", "the library's component that runs it; empty: the listener's name"},
    {"listener.*", "numprocesses", T::kInteger, "1", "worker processes; 0: not started", nullptr, 0, 1000},
    {"listener.*", "timeout", T::kDuration, "30", "a worker is killed that takes longer to stop", nullptr, 0.05, 1e9},
    {"listener.*", "start_timeout", T::kDuration, "60", "as for steps", nullptr, 0.1, 86400},
    {"listener.*", "max_age", T::kDuration, "0", "as for steps"},
    {"listener.*", "rlimit_as", T::kSize, "0", "as for steps"},
    {"listener.*", "rlimit_nofile", T::kInteger, "0", "as for steps"},
    {"listener.*", "rlimit_stack", T::kSize, "0", "as for steps"},
    {"listener.*", "rlimit_fsize", T::kSize, "0", "as for steps"},
    {"listener.*", "log_level", T::kString, "", "as [log] level, for this listener", "|debug|info|warning|error"},
    {"schema.*", "type", T::kString, "string", "type of the key of [custom]", kSchemaTypeNames.c_str()},
    {"schema.*", "default", T::kAny, nullptr, "its default"},
    {"schema.*", "help", T::kString, "", "one line"},
    {"schema.*", "min", T::kReal, nullptr, "smallest value", nullptr, -9e18},
    {"schema.*", "max", T::kReal, nullptr, "largest value", nullptr, -9e18},
    {"schema.*", "choices", T::kStrings, "", "the values allowed"},
    {"schema.*", "secret", T::kBool, "false", "its value is never shown"},
    {"switch_rules", "type", T::kString, nullptr, "how a pattern is compared with the tag; \"bytes\" compares the first bytes of the file, and \"plugin\" calls a predicate",
     "equal|notequal|fnmatch|notfnmatch|regex|notregex|bytes|notbytes|alwaystrue|plugin"},
    {"switch_rules", "tag", T::kString, nullptr, "the name of the tag; bytes, notbytes, alwaystrue and plugin have none"},
    {"switch_rules", "switch", T::kString, "switch", "the plugin that evaluates the rules"},
    {"switch_rules", "rules", T::kAny, nullptr, "a table: { \"pattern\" = [\"step\", \"plugin/step\", \"plugin/step*\"] }; \"*\" allows a hard link"},
};

// Sections that are planned: nothing reads them, so they would have no effect.
bool is_planned(ConfigFile file, std::string_view name) {
  return file == ConfigFile::kMfdata ? name == "journal" : name == "daemon" || name == "timer";
}

// Sections that hold keys of others: taken as they are here, checked by those who read them.
bool is_free_section(ConfigFile file, std::string_view name) {
  return file == ConfigFile::kPlugin && (name == "custom" || name == "switch_rules");
}

void add(Problems& problems, const Location& where, std::string text, std::string hint = "") {
  problems.push_back({where, std::move(text), std::move(hint)});
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const auto near = near_miss(word, known);
  return near ? "did you mean \"" + *near + "\"?" : "";
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

bool all_strings(const ConfigValue& value) {
  return value.kind() == ConfigValue::Kind::kArray &&
         std::all_of(value.array().begin(), value.array().end(),
                     [](const ConfigValue& v) { return v.kind() == ConfigValue::Kind::kString; });
}

// "quiet:5s", or one of some words.
bool is_quiet_or(const ConfigValue& value, std::initializer_list<const char*> words) {
  if (value.kind() != ConfigValue::Kind::kString) return false;
  const std::string& text = value.string();
  if (!text.starts_with("quiet:")) return std::find(words.begin(), words.end(), text) != words.end();
  return duration_seconds(ConfigValue(text.substr(6))).value_or(0) > 0;
}

bool is_share(const ConfigValue& value) {
  if (value.kind() == ConfigValue::Kind::kString && value.string().ends_with('%')) {
    double share = -1;
    const std::string& text = value.string();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
    return error == std::errc() && end == text.data() + text.size() - 1 && share >= 0 && share <= 100;
  }
  return size_bytes(value).has_value();
}

void check_section(const ConfigValue& section, ConfigFile file, const std::string& rules, const std::string& shown,
                   Problems& problems) {
  if (section.kind() != ConfigValue::Kind::kTable) {
    return add(problems, section.where(), '[' + shown + "] is a table, not " + section.kind_name());
  }
  for (const auto& [name, value] : section.table()) {
    const std::string key = split_variant(name).key;
    const KeyRule* rule = find_rule(file, rules, key);
    if (!rule) {
      add(problems, value.where(), "unknown key \"" + name + "\" in [" + shown + ']', did_you_mean(key, keys_of(file, rules)));
      continue;
    }
    const std::string wrong = complaint(*rule, value);
    if (!wrong.empty()) add(problems, value.where(), "[" + shown + "] " + name + ' ' + wrong);
  }
}

// The names that may stand at the top: the first words of the sections.
std::vector<std::string> top_names(ConfigFile file) {
  std::vector<std::string> names;
  for (const KeyRule& rule : key_rules(file)) {
    const std::string top = split(rule.section, '.')[0];
    if (std::find(names.begin(), names.end(), top) == names.end()) names.push_back(top);
  }
  if (file == ConfigFile::kPlugin) names.emplace_back("custom");
  return names;
}

bool has_section(ConfigFile file, std::string_view section) {
  const auto& rules = key_rules(file);
  return std::any_of(rules.begin(), rules.end(), [&](const KeyRule& rule) { return rule.section == section; });
}

// How well a variant fits: its length + 1 when it is the name or one of its prefixes A, A_B; 0 when not at all.
std::size_t fit(const std::string& variant, const std::string& config_name) {
  if (variant.empty()) return 1;
  const bool fits = config_name == variant || config_name.starts_with(variant + '_');
  return fits ? variant.size() + 1 : 0;
}

ConfigValue choose_variants(ConfigValue value, const std::string& config_name) {
  if (value.kind() != ConfigValue::Kind::kTable) return value;
  ConfigValue chosen(ConfigValue::Table(), value.where());
  struct Best {
    std::size_t fits, place;  // in `chosen`
  };
  std::unordered_map<std::string, Best> best;
  for (auto& [name, member] : value.table()) {
    VariantKey split = split_variant(name);
    const std::size_t fits = fit(split.variant, config_name);
    if (fits == 0) continue;
    const auto [at, is_new] = best.try_emplace(split.key, Best{fits, chosen.table().size()});
    if (at->second.fits > fits) continue;
    at->second.fits = fits;
    ConfigValue taken = choose_variants(std::move(member), config_name);
    if (is_new) {
      chosen.table().emplace_back(std::move(split.key), std::move(taken));
    } else {
      chosen.table()[at->second.place].second = std::move(taken);
    }
  }
  return chosen;
}

void merge_into(ConfigValue& below, ConfigValue above) {
  std::unordered_map<std::string, std::size_t> places;
  for (const auto& member : below.table()) places.emplace(member.first, places.size());
  for (auto& [name, value] : above.table()) {
    const auto [at, is_new] = places.try_emplace(name, below.table().size());
    if (is_new) {
      below.table().emplace_back(name, std::move(value));
      continue;
    }
    ConfigValue& there = below.table()[at->second].second;
    if (there.kind() == ConfigValue::Kind::kTable && value.kind() == ConfigValue::Kind::kTable) {
      merge_into(there, std::move(value));
    } else {
      there = std::move(value);
    }
  }
}

// The text of a default as a value of its type.
ConfigValue preset_value(const KeyRule& rule) {
  const std::string text = rule.preset ? rule.preset : "";
  const Location where{"built-in default", 0, 0, ""};
  switch (rule.type) {
    case T::kBool: return ConfigValue(text == "true", where);
    case T::kInteger: return ConfigValue(static_cast<std::int64_t>(std::strtoll(text.c_str(), nullptr, 10)), where);
    case T::kReal: return ConfigValue(std::strtod(text.c_str(), nullptr), where);
    case T::kStrings:
    case T::kArgv: {
      ConfigValue::Array array;
      for (const std::string& part : split(text, ' ')) {
        if (!part.empty()) array.emplace_back(part);
      }
      return ConfigValue(std::move(array), where);
    }
    default: return ConfigValue(text, where);
  }
}

}  // namespace

const std::vector<KeyRule>& key_rules(ConfigFile file) {
  return file == ConfigFile::kMfdata ? kMfdataRules : kPluginRules;
}

const std::vector<SchemaType>& schema_types() { return kSchemaTypes; }

const SchemaType* find_schema_type(std::string_view name) {
  const auto at = std::find_if(kSchemaTypes.begin(), kSchemaTypes.end(), [&](const SchemaType& type) { return type.name == name; });
  return at == kSchemaTypes.end() ? nullptr : &*at;
}

std::vector<std::string> keys_of(ConfigFile file, std::string_view section) {
  std::vector<std::string> keys;
  for (const KeyRule& rule : key_rules(file)) {
    if (rule.section == section) keys.emplace_back(rule.key);
  }
  return keys;
}

std::vector<std::string> choices_of(const KeyRule& rule) { return rule.choices ? split(rule.choices, '|') : std::vector<std::string>(); }

std::string complaint(const KeyRule& rule, const ConfigValue& value) {
  using Kind = ConfigValue::Kind;
  const auto bounded = [&](double number, const char* unit) -> std::string {
    if (number < rule.min) return "is below " + std::to_string(rule.min) + unit;
    if (number > rule.max) return "is above " + std::to_string(rule.max) + unit;
    return "";
  };
  const std::string found = std::string("takes ") + type_name(rule.type) + ", not " + value.kind_name();
  switch (rule.type) {
    case T::kString: {
      if (value.kind() != Kind::kString) return found;
      if (!rule.choices) return "";
      const auto choices = choices_of(rule);
      if (std::find(choices.begin(), choices.end(), value.string()) != choices.end()) return "";
      return "is one of " + std::string(rule.choices) + ", not \"" + value.string().substr(0, 40) + '"';
    }
    case T::kBool: return value.kind() == Kind::kBool ? "" : found;
    case T::kInteger: return value.kind() == Kind::kInteger ? bounded(value.real(), "") : found;
    case T::kReal:
      return value.kind() == Kind::kInteger || value.kind() == Kind::kReal ? bounded(value.real(), "") : found;
    case T::kDuration: {
      const auto seconds = duration_seconds(value);
      return seconds ? bounded(*seconds, " seconds") : "takes " + std::string(type_name(rule.type));
    }
    case T::kSize: {
      const auto bytes = size_bytes(value);
      return bytes ? bounded(static_cast<double>(*bytes), " bytes") : "takes " + std::string(type_name(rule.type));
    }
    case T::kReady: return is_quiet_or(value, {"close", "rename"}) ? "" : "takes " + std::string(type_name(rule.type));
    case T::kReadyAtStart: return is_quiet_or(value, {"leave"}) ? "" : "takes " + std::string(type_name(rule.type));
    case T::kShare: return is_share(value) ? "" : "takes " + std::string(type_name(rule.type));
    case T::kStrings: return all_strings(value) ? "" : "takes an array of strings";
    case T::kArgv: return all_strings(value) && !value.array().empty() ? "" : "takes an array of strings, the program first";
    case T::kAny: return "";
  }
  return "";
}

const KeyRule* find_rule(ConfigFile file, std::string_view section, std::string_view key) {
  for (const KeyRule& rule : key_rules(file)) {
    if (rule.section == section && rule.key == key) return &rule;
  }
  return nullptr;
}

const char* type_name(KeyRule::Type type) {
  switch (type) {
    case T::kString: return "a string";
    case T::kBool: return "true or false";
    case T::kInteger: return "an integer";
    case T::kReal: return "a number";
    case T::kDuration: return "a duration: seconds, or \"10m\", \"2h\", \"7d\", \"200ms\"";
    case T::kSize: return "a size: bytes, or \"10MB\", \"1GB\", \"4KiB\"";
    case T::kReady: return "\"close\", \"rename\" or \"quiet:5s\"";
    case T::kReadyAtStart: return "\"quiet:60s\" or \"leave\"";
    case T::kShare: return "a share like \"5%\", or a size";
    case T::kStrings:
    case T::kArgv: return "an array of strings";
    case T::kAny: return "any value";
  }
  return "";
}

void check_rules(const ConfigValue& root, ConfigFile file, Problems& problems) {
  for (const auto& [name, section] : root.table()) {
    if (is_free_section(file, name)) {
      const bool list = name == "switch_rules";
      const auto wanted = list ? ConfigValue::Kind::kArray : ConfigValue::Kind::kTable;
      if (section.kind() != wanted) add(problems, section.where(), name + (list ? " is an array of tables, [[switch_rules]]" : " is a table, [custom]"));
      continue;
    }
    if (name == "data" && file == ConfigFile::kMfdata && section.kind() == ConfigValue::Kind::kTable) {
      ConfigValue plain = section;
      if (const ConfigValue* watch = section.find("watch"); watch && watch->kind() == ConfigValue::Kind::kTable) {
        for (const auto& [directory, keys] : watch->table()) {
          check_section(keys, file, "data.watch.*", "data.watch." + directory, problems);
        }
        std::erase_if(plain.table(), [](const auto& member) { return member.first == "watch"; });
      }
      check_section(plain, file, name, name, problems);
    } else if (has_section(file, name)) {
      check_section(section, file, name, name, problems);
    } else if (has_section(file, name + ".*")) {
      if (section.kind() != ConfigValue::Kind::kTable) {
        add(problems, section.where(), '"' + name + "\" is a table of tables: [" + name + ".NAME]");
        continue;
      }
      for (const auto& [member, keys] : section.table()) {
        check_section(keys, file, name + ".*", name + '.' + member, problems);
      }
    } else if (is_planned(file, name)) {
      add(problems, section.where(), '[' + name + "] is not supported yet", "leave it out");
    } else {
      add(problems, section.where(), "unknown section [" + name + ']', did_you_mean(name, top_names(file)));
    }
  }
}

VariantKey split_variant(const std::string& key) {
  const std::size_t open = key.find('[');
  if (open == std::string::npos || !key.ends_with(']')) return {key, ""};
  return {key.substr(0, open), key.substr(open + 1, key.size() - open - 2)};
}

ConfigValue merge_layers(std::vector<ConfigValue> layers, const std::string& config_name) {
  ConfigValue merged{ConfigValue::Table()};
  for (ConfigValue& layer : layers) merge_into(merged, choose_variants(std::move(layer), config_name));
  return merged;
}

ConfigValue SectionReader::value(std::string_view key) const {
  if (const ConfigValue* there = raw(key)) return *there;
  const KeyRule* rule = find_rule(file_, rules_, key);
  check(rule != nullptr, "a key without a rule is read");
  return preset_value(*rule);
}

std::string SectionReader::text(std::string_view key) const { return value(key).string(); }
bool SectionReader::flag(std::string_view key) const { return value(key).boolean(); }
std::int64_t SectionReader::integer(std::string_view key) const { return value(key).integer(); }
double SectionReader::real(std::string_view key) const { return value(key).real(); }
double SectionReader::seconds(std::string_view key) const { return duration_seconds(value(key)).value_or(0); }
std::uint64_t SectionReader::bytes(std::string_view key) const { return size_bytes(value(key)).value_or(0); }

std::vector<std::string> SectionReader::strings(std::string_view key) const {
  std::vector<std::string> all;
  const ConfigValue array = value(key);
  for (const ConfigValue& element : array.array()) all.push_back(element.string());
  return all;
}

Location SectionReader::where(std::string_view key) const {
  const ConfigValue* there = raw(key);
  if (there) return there->where();
  return section_ ? section_->where() : Location{};
}

}  // namespace mfdata
