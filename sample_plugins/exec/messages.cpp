#include "messages.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace sdk = mfdata::sdk;
using nlohmann::json;

namespace exec_protocol {
namespace {

// One object that the program sent, read member by member. Members that nobody knows are left alone.
class Reader {
 public:
  Reader(const json& object, Encoding encoding) : object_(object), encoding_(encoding) {}

  bool has(const char* name) const {
    const auto found = object_.find(name);
    return found != object_.end() && !found->is_null();
  }
  std::string text(const char* name) const {
    return has(name) ? bytes_of(object_[name], name, encoding_) : "";
  }
  std::string needed_text(const char* name) const {
    if (!has(name)) throw Malformed(std::string(name) + " is missing");
    return text(name);
  }
  bool flag(const char* name) const {
    if (!has(name)) return false;
    if (!object_[name].is_boolean()) throw Malformed(std::string(name) + " is true or false");
    return object_[name].get<bool>();
  }
  double number(const char* name) const {
    if (!object_[name].is_number()) throw Malformed(std::string(name) + " is a number");
    return object_[name].get<double>();
  }
  // Permission bits, in octal digits: "0640".
  std::uint32_t mode(const char* name) const {
    const std::string digits = text(name);
    if (digits.size() > 5 || digits.find_first_not_of("01234567") != std::string::npos) {
      throw Malformed(std::string(name) + " is a text of octal digits like \"0640\"");
    }
    return static_cast<std::uint32_t>(std::strtoul(digits.c_str(), nullptr, 8));
  }
  // The elements of an array, none when it is missing.
  const json& array(const char* name) const {
    static const json kNone = json::array();
    if (!has(name)) return kNone;
    if (!object_[name].is_array()) throw Malformed(std::string(name) + " is an array");
    return object_[name];
  }
  const json& table(const char* name) const {
    static const json kNone = json::object();
    if (!has(name)) return kNone;
    if (!object_[name].is_object()) throw Malformed(std::string(name) + " is an object");
    return object_[name];
  }
  std::vector<std::string> texts(const char* name) const {
    std::vector<std::string> all;
    for (const json& value : array(name)) all.push_back(bytes_of(value, name, encoding_));
    return all;
  }
  const json& raw(const char* name) const { return object_[name]; }
  Encoding encoding() const { return encoding_; }

 private:
  const json& object_;
  Encoding encoding_;
};

Reader object_of(const json& value, const char* what, Encoding encoding) {
  if (!value.is_object()) throw Malformed(std::string(what) + " is an object");
  return {value, encoding};
}

// ---- the hello

std::int32_t metric_kind(const std::string& kind) {
  if (kind == "counter") return MFDATA_COUNTER;
  if (kind == "gauge") return MFDATA_GAUGE;
  if (kind == "histogram") return MFDATA_HISTOGRAM;
  throw Malformed("the kind of a metric is \"counter\", \"gauge\" or \"histogram\", not " + shown(kind));
}

MetricDeclaration metric_of(const Reader& metric) {
  MetricDeclaration declaration{metric_kind(metric.needed_text("kind")), metric.needed_text("name"),
                                metric.text("help"), metric.texts("labels"), {}};
  for (const json& bound : metric.array("buckets")) {
    if (!bound.is_number()) throw Malformed("buckets are numbers");
    declaration.buckets.push_back(bound.get<double>());
  }
  return declaration;
}

Hello hello_of(const json& object) {
  Hello hello;
  const Reader reader(object, Encoding::kSurrogates);
  if (!reader.has("version") || !reader.raw("version").is_number_integer()) {
    throw Malformed("its hello has no version, which is a whole number");
  }
  hello.version = reader.raw("version").get<std::int64_t>();
  if (const std::string encoding = reader.text("encoding"); encoding == "percent") {
    hello.encoding = Encoding::kPercent;
  } else if (!encoding.empty() && encoding != "surrogates") {
    throw Malformed("encoding is \"surrogates\" or \"percent\", not " + shown(encoding));
  }
  for (const std::string& feature : reader.texts("features")) hello.features.insert(feature);
  for (const json& metric : reader.array("metrics")) {
    hello.metrics.push_back(metric_of(object_of(metric, "a metric", Encoding::kSurrogates)));
  }
  return hello;
}

// ---- answers

sdk::Result retry_of(const Reader& answer, const std::string& reason) {
  if (!answer.has("delay")) return sdk::Result::retry(reason);
  const double seconds = answer.number("delay");
  if (!(seconds >= 0 && seconds <= 1e9)) throw Malformed("delay is a number of seconds");
  return sdk::Result::retry(reason, static_cast<std::int64_t>(seconds * 1000));
}

sdk::Result result_of(const Reader& answer) {
  const std::string status = answer.text("status"), reason = answer.text("reason");
  const std::string why = reason.empty() ? "the program says \"" + status + '"' : reason;
  if (status == "ok") return sdk::Result::ok();
  if (status == "fail") return sdk::Result::fail(why);
  if (status == "skip") return sdk::Result::skip(why);
  if (status == "retry") return retry_of(answer, why);
  if (status == "full") return sdk::Result::disk_full(why);
  if (status == "cancelled") return sdk::Result::cancelled();
  throw Malformed("status is \"ok\", \"fail\", \"retry\", \"skip\", \"full\" or \"cancelled\", not " +
                  shown(status));
}

Tag hop_tag_of(const std::string& name, const json& value, Encoding encoding) {
  if (!value.is_object()) return {name, bytes_of(value, "the value of a tag", encoding), true, true};
  const Reader reader(value, encoding);
  const bool with_latest = !reader.has("latest") || reader.flag("latest");
  return {name, reader.needed_text("value"), true, with_latest};
}

Tags tags_of(const Reader& object) {
  Tags tags;
  for (const auto& [key, value] : object.table("tags").items()) {
    Tag tag{bytes_of_name(key, object.encoding()), std::nullopt, false, true};
    if (!value.is_null()) tag.value = bytes_of(value, "the value of a tag", object.encoding());
    tags.push_back(std::move(tag));
  }
  for (const auto& [key, value] : object.table("hop_tags").items()) {
    tags.push_back(hop_tag_of(bytes_of_name(key, object.encoding()), value, object.encoding()));
  }
  return tags;
}

std::optional<std::int32_t> op_of(const Reader& destination) {
  const std::string op = destination.text("op");
  if (op.empty()) return std::nullopt;
  if (op == "move") return MFDATA_OP_MOVE;
  if (op == "copy") return MFDATA_OP_COPY;
  if (op == "link") return MFDATA_OP_LINK;
  throw Malformed("op is \"move\", \"copy\" or \"link\", not " + shown(op));
}

Destination destination_of(const json& value, Encoding encoding) {
  if (value.is_string()) {
    const std::string text = bytes_of(value, "to", encoding);
    if (text.starts_with('/')) return {"", text, std::nullopt, {}};
    return {text, "", std::nullopt, {}};
  }
  const Reader reader = object_of(value, "where an output goes is a text or", encoding);
  Destination to{reader.text("step"), reader.text("directory"), op_of(reader), {}};
  if (to.step.empty() == to.directory.empty()) {
    throw Malformed("an output goes to a \"step\" or into a \"directory\"");
  }
  if (to.directory.empty()) return to;
  to.delivery.basename = reader.text("name");
  to.delivery.tags_suffix = reader.text("tags_suffix");
  to.delivery.mode = reader.mode("mode");
  to.delivery.directory_mode = reader.mode("directory_mode");
  to.delivery.make_directories = reader.flag("make_directories");
  to.delivery.drop_tags = reader.flag("drop_tags");
  return to;
}

Output output_of(const json& value, Encoding encoding) {
  const Reader reader = object_of(value, "an output", encoding);
  Output output{reader.needed_text("path"), std::nullopt, {}, tags_of(reader)};
  if (reader.has("inherit")) output.inherit = reader.text("inherit");
  if (!reader.has("to")) return output;
  const json& to = reader.raw("to");
  if (!to.is_array()) {
    output.to.push_back(destination_of(to, encoding));
    return output;
  }
  if (to.empty()) throw Malformed("to is an empty array: leave an output out that goes nowhere");
  for (const json& one : to) output.to.push_back(destination_of(one, encoding));
  return output;
}

Answer answer_of(const json& object, Encoding encoding) {
  const Reader reader(object, encoding);
  Answer answer;
  answer.id = reader.needed_text("id");
  try {
    answer.result = result_of(reader);
    answer.tags = tags_of(reader);
    for (const json& output : reader.array("outputs")) {
      answer.outputs.push_back(output_of(output, encoding));
    }
  } catch (const Malformed& error) {
    answer.wrong = error.what();
  }
  return answer;
}

// ---- what a program says of itself

std::int32_t level_of(const std::string& level) {
  if (level == "debug") return MFDATA_LOG_DEBUG;
  if (level == "warning") return MFDATA_LOG_WARNING;
  if (level == "error") return MFDATA_LOG_ERROR;
  return MFDATA_LOG_INFO;
}

MetricValue metric_value_of(const Reader& reader) {
  const double value = reader.has("value") ? reader.number("value") : 1;
  return {reader.needed_text("name"), value, reader.texts("labels")};
}

void read_deposit(const Reader& reader, Deposit& deposit) {
  for (const char* later : {"key", "sha256", "dirname", "hop_tags"}) {
    if (reader.has(later)) throw Malformed(std::string(later) + " is not among the features of this host");
  }
  deposit.path = reader.text("path");
  if (reader.has("data")) deposit.data = reader.text("data");
  if (deposit.path.empty() != deposit.data.has_value()) {
    throw Malformed("a deposit has a \"path\" or \"data\", and not both");
  }
  deposit.name = reader.text("name");
  deposit.to = reader.text("to");
  deposit.keep = reader.flag("keep");
  if (reader.has("size")) {
    if (!reader.raw("size").is_number_unsigned()) throw Malformed("size is a number of bytes");
    deposit.size = reader.raw("size").get<std::uint64_t>();
  }
  for (const auto& [key, value] : reader.table("tags").items()) {
    deposit.tags.emplace_back(bytes_of_name(key, reader.encoding()),
                              bytes_of(value, "the value of a tag", reader.encoding()));
  }
}

Deposit deposit_of(const Reader& reader) {
  Deposit deposit;
  deposit.id = reader.needed_text("id");
  try {
    read_deposit(reader, deposit);
  } catch (const Malformed& error) {
    deposit.wrong = error.what();
  }
  return deposit;
}

std::string spelled(double number) { return json(number).dump(); }

std::string begun(const char* type) { return std::string("{\"type\": \"") + type + '"'; }

}  // namespace

Message parse_message(const std::string& line, Encoding encoding) {
  const json object = parsed_object(line);
  const Reader reader(object, encoding);
  const std::string type = reader.text("type");
  if (type == "result") return answer_of(object, encoding);
  if (type == "log") return LogLine{level_of(reader.text("level")), reader.text("text")};
  if (type == "metric") return metric_value_of(reader);
  if (type == "deposit") return deposit_of(reader);
  if (type == "hello") return hello_of(object);
  if (type == "error") return Refusal{reader.text("reason")};
  if (type.empty()) throw Malformed(shown(line) + " has no \"type\"");
  throw Malformed("there is no message of type " + shown(type) + " in version 1 of the protocol");
}

std::string member(const char* name, std::string_view value, Encoding encoding) {
  return std::string(", \"") + name + "\": " + json_text(value, encoding);
}

std::string file_message(const FileRequest& request, Encoding encoding) {
  std::string line = begun("file") + member("id", request.id, encoding);
  if (!request.batch.empty()) line += member("batch", request.batch, encoding);
  line += member("path", request.path, encoding) + member("scratch", request.scratch, encoding);
  if (request.seconds_left) line += ", \"seconds_left\": " + spelled(*request.seconds_left);
  line += ", \"tags\": {";
  const char* comma = "";
  for (const auto& [name, value] : request.tags) {
    line += comma + json_text(name, encoding) + ": " + json_text(value, encoding);
    comma = ", ";
  }
  return line + "}}";
}

std::string batch_message(const std::string& id, const std::vector<std::string>& files,
                          std::optional<double> seconds_left) {
  std::string line = begun("batch") + ", \"id\": \"" + id + "\", \"files\": [";
  for (std::size_t i = 0; i < files.size(); ++i) line += (i == 0 ? "\"" : ", \"") + files[i] + '"';
  line += ']';
  if (seconds_left) line += ", \"seconds_left\": " + spelled(*seconds_left);
  return line + '}';
}

std::string cancel_message(const std::string& id) { return begun("cancel") + ", \"id\": \"" + id + "\"}"; }

std::string deposited_message(const DepositReply& reply, Encoding encoding) {
  std::string line = begun("deposited") + member("id", reply.id, encoding) + member("status", reply.status, encoding);
  if (!reply.reason.empty()) line += member("reason", reply.reason, encoding);
  if (reply.retry_after) line += ", \"retry_after\": " + spelled(*reply.retry_after);
  return line + '}';
}

std::string pressure_message(const std::string& status, double retry_after) {
  return begun("pressure") + ", \"status\": \"" + status + "\", \"retry_after\": " + spelled(retry_after) + '}';
}

std::string stop_message() { return begun("stop") + '}'; }

}  // namespace exec_protocol
