#include "program.hpp"

#include <algorithm>

namespace sdk = mfdata::sdk;

namespace exec_protocol {
namespace {

using Outcome = sdk::Coprocess::Outcome;

constexpr Encoding kHelloEncoding = Encoding::kSurrogates;  // nothing is agreed on yet

// What exec itself reads of [custom]; the rest is the program's.
bool is_own_key(std::string_view key) {
  static constexpr std::string_view kOwn[] = {"command", "environment", "dest_dir", "command_timeout",
                                              "start_timeout", "stop_timeout", "deposit_dir"};
  return std::find(std::begin(kOwn), std::end(kOwn), key) != std::end(kOwn);
}

std::string config_json(const sdk::Context& context, const std::string& path);

std::string table_json(const sdk::Context& context, const std::string& path, std::uint64_t count) {
  std::string out = "{";
  for (std::uint64_t i = 0; i < count; ++i) {
    mfdata_str name{nullptr, 0};
    if (context.host()->config_key(context.raw(), sdk::c(path), i, &name) < 0) continue;
    const std::string key(sdk::view(name));
    const bool reachable = key.find_first_of(".[") == std::string::npos;  // not by a dotted path
    if (!reachable || (path.empty() && is_own_key(key))) continue;
    out += (out.size() > 1 ? ", " : "") + json_text(key, kHelloEncoding) + ": ";
    out += config_json(context, path.empty() ? key : path + '.' + key);
  }
  return out + '}';
}

// The value of a key of [custom].
std::string config_json(const sdk::Context& context, const std::string& path) {
  const mfdata_host* host = context.host();
  std::uint64_t count = 0;
  if (host->config_count(context.raw(), sdk::c(path), &count) == MFDATA_OK) {
    mfdata_str name{nullptr, 0};
    const mfdata_rc rc = host->config_key(context.raw(), sdk::c(path), 0, &name);
    if (rc == MFDATA_OK || rc == MFDATA_E_NOTFOUND) return table_json(context, path, count);
    std::string out = "[";
    for (std::uint64_t i = 0; i < count; ++i) {
      out += (i == 0 ? "" : ", ") + config_json(context, path + '[' + std::to_string(i) + ']');
    }
    return out + ']';
  }
  const std::string text = context.text(path);
  std::int64_t integer = 0;
  double real = 0;
  if (host->config_integer(context.raw(), sdk::c(path), &integer) == MFDATA_OK) return text;  // also true and false
  if (host->config_real(context.raw(), sdk::c(path), &real) == MFDATA_OK) return nlohmann::json(real).dump();
  return json_text(text, kHelloEncoding);
}

const char* level_in_force(const sdk::Context& context) {
  static constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
  int level = MFDATA_LOG_DEBUG;
  while (level < MFDATA_LOG_ERROR && context.host()->log_enabled(context.raw(), level) == 0) ++level;
  return kNames[level];
}

std::string hello_message(const sdk::Context& context, const char* kind, const std::vector<std::string>& features,
                          const std::string& more) {
  std::string line = "{\"type\": \"hello\", \"protocol\": \"mfdata-exec\", \"versions\": [" + std::to_string(kVersion) + ']';
  line += std::string(", \"kind\": \"") + kind + "\", \"features\": [";
  for (std::size_t i = 0; i < features.size(); ++i) line += (i == 0 ? "\"" : ", \"") + features[i] + '"';
  line += ']' + member("plugin", context.identity().plugin, kHelloEncoding);
  line += member("step", context.identity().step, kHelloEncoding);
  line += member("log_level", level_in_force(context), kHelloEncoding);
  line += ", \"max_line\": " + std::to_string(kMaxLine) + more;
  std::uint64_t count = 0;
  const bool has_keys = context.host()->config_count(context.raw(), sdk::c(""), &count) == MFDATA_OK;
  return line + ", \"config\": " + (has_keys ? table_json(context, "", count) : "{}") + '}';
}

std::string last_words(const std::string& errors) {
  const std::size_t end = errors.find_last_not_of(" \n\r\t");
  return end == std::string::npos ? "" : ": " + errors.substr(0, end + 1);
}

}  // namespace

Program::Program(const sdk::Context& component, const char* kind, const std::vector<std::string>& features,
                 const std::string& more_hello)
    : component_(component), start_timeout_s_(component.real("start_timeout", 30)) {
  // The program starts before there is a file: it reads the path of each from its requests.
  command_.arguments = sdk::CommandTemplate("command", component.texts("command"), {}).plain();
  command_.environment = sdk::CommandTemplate("environment", component.texts("environment"), {}).plain();
  command_.max_output = kMaxLine;
  if (command_.arguments.empty()) {
    throw sdk::Error(MFDATA_E_ARG, "write command = [\"program\", \"argument\", ..]");
  }
  host_hello_ = hello_message(component, kind, features, more_hello);
  start(component);
}

// Throws when it does not come up within its time, and within that of the call.
void Program::start(const sdk::Context& call) {
  process_ = std::make_unique<sdk::Coprocess>(command_);
  hello_ = Hello();
  process_->say(host_hello_);
  const Event event = next(sdk::command_deadline(call, start_timeout_s_));
  std::string wrong;
  if (const Hello* hello = event.what == What::kMessage ? std::get_if<Hello>(&event.message) : nullptr) {
    if (hello->version == kVersion) {
      hello_ = *hello;
      return declare_metrics();
    }
    wrong = "it speaks version " + std::to_string(hello->version) + " of the protocol, this host speaks version " +
            std::to_string(kVersion);
  } else if (const Refusal* refusal = event.what == What::kMessage ? std::get_if<Refusal>(&event.message) : nullptr) {
    wrong = refusal->reason.empty() ? "it says that it cannot run" : refusal->reason;
  } else if (event.what == What::kMessage) {
    wrong = "its first message is not its hello";
  } else if (event.what == What::kTooLate) {
    wrong = "it took too long and was ended before its hello";
  } else {
    wrong = "it " + event.why + (event.what == What::kEnded ? " (before its hello)" : "");
  }
  end();
  throw sdk::Error(MFDATA_E_IO, wrong);
}

std::string Program::make_ready(const sdk::Context& call) {
  if (process_) {
    if (const std::string wrong = unexpected(); !wrong.empty()) {
      component_.warning("the program " + wrong + ": it is started again");
      process_.reset();  // with time to end by itself
    }
  }
  if (process_) return "";
  try {
    start(call);
    return "";
  } catch (const sdk::Error& error) {
    return error.what();
  }
}

// What it did since its last answer that a program does not do; empty: nothing.
std::string Program::unexpected() {
  log_errors();
  process_->says_more();
  while (process_->has_line()) {
    Event event = heard(process_->next(0));
    if (event.what == What::kMessage && !handled(event.message)) return "wrote a line that nobody asked for";
    if (event.what == What::kBroken) return event.why;
  }
  return process_->ended() ? "ended by itself with " + process_->end() : "";
}

Program::Event Program::next(std::int64_t deadline_ns, int wake) {
  while (true) {
    Event event = heard(process_->next(deadline_ns, wake));
    if (event.what != What::kMessage || !handled(event.message)) return event;
  }
}

Program::Event Program::heard(sdk::Coprocess::Reply reply) {
  Event event;
  const std::string errors = log_errors();
  switch (reply.outcome) {
    case Outcome::kLine: break;
    case Outcome::kTooLate: event.what = What::kTooLate; return event;
    case Outcome::kWoken: event.what = What::kWoken; return event;
    case Outcome::kTooLong:
      event.what = What::kBroken;
      event.why = "wrote a line of more than 4 MiB" + last_words(errors);
      return event;
    case Outcome::kEnded: {
      event.what = What::kEnded;
      const std::string how = process_->end();
      event.why = "ended with " + how + last_words(errors + log_errors());
      event.willingly = how == "exit code 0";
      return event;
    }
  }
  try {
    event.message = parse_message(reply.line, hello_.encoding);
  } catch (const Malformed& error) {
    event.what = What::kBroken;
    event.why = std::string("wrote what is no message: ") + error.what() + last_words(errors);
  }
  return event;
}

bool Program::handled(const Message& message) {
  if (const auto* line = std::get_if<LogLine>(&message)) {
    component_.host()->log(component_.raw(), line->level, sdk::c(line->text));
    return true;
  }
  if (const auto* value = std::get_if<MetricValue>(&message)) {
    count(*value);
    return true;
  }
  return false;
}

// Metrics are made with the component, so those of its first start count.
void Program::declare_metrics() {
  if (metrics_) return;
  metrics_.emplace();
  for (const MetricDeclaration& metric : hello_.metrics) {
    std::vector<mfdata_str> labels;
    for (const std::string& label : metric.labels) labels.push_back(sdk::c(label));
    std::uint64_t id = 0;
    sdk::expect(component_.host()->metric_new(component_.raw(), metric.kind, sdk::c(metric.name), sdk::c(metric.help),
                                              labels.data(), static_cast<std::uint32_t>(labels.size()),
                                              metric.buckets.data(),
                                              static_cast<std::uint32_t>(metric.buckets.size()), &id),
                "metric", metric.name);
    metrics_->emplace(metric.name, Metric{id, labels.size()});
  }
}

void Program::count(const MetricValue& value) {
  const auto found = metrics_ ? metrics_->find(value.name) : decltype(metrics_->find(""))();
  if (!metrics_ || found == metrics_->end() || found->second.labels != value.labels.size()) {
    component_.warning("the program counts " + shown(value.name) + " with " +
                       std::to_string(value.labels.size()) + " labels, which its first hello did not declare");
    return;
  }
  std::vector<mfdata_str> labels;
  for (const std::string& label : value.labels) labels.push_back(sdk::c(label));
  component_.host()->metric_add(component_.raw(), found->second.id, value.value, labels.data(),
                                static_cast<std::uint32_t>(labels.size()));
}

std::string Program::end() {
  if (!process_) return "";
  const std::string how = process_->end();
  log_errors();
  process_.reset();
  return how;
}

void Program::take_logs() {
  if (!process_) return;
  if (const std::string wrong = unexpected(); !wrong.empty()) {
    component_.warning("the program " + wrong + ": it is started again for the next file");
    process_.reset();
  }
}

std::string Program::log_errors() {
  const std::string errors = process_->take_errors();
  for (std::size_t at = 0; at < errors.size();) {
    const std::size_t end = std::min(errors.find('\n', at), errors.size());
    if (end > at) component_.warning("the program says: " + errors.substr(at, end - at));
    at = end + 1;
  }
  return errors;
}

}  // namespace exec_protocol
