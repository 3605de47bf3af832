#include "line_protocol.hpp"

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace sdk = mfdata::sdk;
using nlohmann::json;

namespace line_protocol {
namespace {

constexpr const char* kHex = "0123456789abcdef";
// Stands for a byte while JSON is parsed: a noncharacter, then its two digits.
constexpr std::string_view kByteMark = "\xef\xb7\x90";  // U+FDD0

std::runtime_error wrong(const std::string& what) { return std::runtime_error("its answer is wrong: " + what); }

// The length of the UTF-8 character at the front; 0: it is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = byte(0) < 0x80 ? 1 : byte(0) < 0xc2 ? 0 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : byte(0) < 0xf5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xf0 && byte(1) < 0x90);
  const bool beyond = (byte(0) == 0xed && byte(1) > 0x9f) || (byte(0) == 0xf4 && byte(1) > 0x8f);
  return overlong || beyond ? 0 : length;
}

// A JSON string of any bytes.
std::string json_text(std::string_view text) {
  std::string out = "\"";
  const auto escape = [&](const char* begin, unsigned char byte) { out += begin, out += kHex[byte >> 4], out += kHex[byte & 15]; };
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      escape("\\udc", byte);
    } else if (byte < 0x20 || byte == '"' || byte == '\\') {
      escape("\\u00", byte);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

bool is_hex(std::string_view digits) { return digits.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos; }

// Lone surrogates \udc80 .. \udcff are no JSON for a strict parser: marked first.
std::string with_marked_bytes(std::string_view line) {
  std::string out;
  const auto mark_the_mark = [&out] {  // the noncharacter itself stands as its bytes
    for (const char* digits : {"ef", "b7", "90"}) out += kByteMark, out += digits;
  };
  for (std::size_t at = 0; at < line.size();) {
    if (line.substr(at).starts_with(kByteMark)) {
      mark_the_mark();
      at += kByteMark.size();
      continue;
    }
    if (line[at] != '\\' || at + 1 >= line.size()) {
      out += line[at++];
      continue;
    }
    const std::string_view escape = line.substr(at, 6);
    if (escape[1] != 'u' || escape.size() < 6 || !is_hex(escape.substr(2))) {
      out += line.substr(at, 2);
      at += 2;
      continue;
    }
    const unsigned long code = std::strtoul(std::string(escape.substr(2)).c_str(), nullptr, 16);
    const bool pair = code >= 0xd800 && code < 0xdc00 && line.size() >= at + 12;
    if (code == 0xfdd0) {
      mark_the_mark();
      at += 6;
    } else if (code >= 0xdc80 && code <= 0xdcff) {
      out += kByteMark;
      out += escape.substr(4);
      at += 6;
    } else {
      out += line.substr(at, pair ? 12 : 6);
      at += pair ? 12 : 6;
    }
  }
  return out;
}

std::string text_of(const json& value, const char* what) {
  if (!value.is_string()) throw wrong(std::string(what) + " is a text");
  std::string text = value.get<std::string>();
  for (std::size_t at = 0; (at = text.find(kByteMark, at)) != std::string::npos; ++at) {
    const std::string digits = text.substr(at + kByteMark.size(), 2);
    text.replace(at, kByteMark.size() + 2, 1, static_cast<char>(std::strtoul(digits.c_str(), nullptr, 16)));
  }
  return text;
}

json parsed(const std::string& line) {
  const json value = json::parse(with_marked_bytes(line), nullptr, false);
  if (!value.is_object()) throw wrong("\"" + line.substr(0, 100) + "\" is no JSON object");
  return value;
}

std::string text_member(const json& object, const char* name) { return object.contains(name) ? text_of(object[name], name) : ""; }

Tags tags_of(const json& object) {
  Tags tags;
  if (!object.contains("tags")) return tags;
  if (!object["tags"].is_object()) throw wrong("tags is an object");
  for (const auto& [name, value] : object["tags"].items()) {
    tags.emplace_back(name, value.is_null() ? std::nullopt : std::optional(text_of(value, "the value of a tag")));
  }
  return tags;
}

sdk::Result result_of(const json& object) {
  const std::string status = text_member(object, "status"), reason = text_member(object, "reason");
  const std::string shown = reason.empty() ? "the program says \"" + status + '"' : reason;
  if (status == "ok") return sdk::Result::ok();
  if (status == "fail") return sdk::Result::fail(shown);
  if (status == "skip") return sdk::Result::skip(shown);
  if (status != "retry") throw wrong("status is \"ok\", \"fail\", \"retry\" or \"skip\", not \"" + status.substr(0, 40) + '"');
  if (!object.contains("delay")) return sdk::Result::retry(shown);
  if (!object["delay"].is_number() || object["delay"].get<double>() < 0 || object["delay"].get<double>() > 1e9) throw wrong("delay is a number of seconds");
  return sdk::Result::retry(shown, static_cast<std::int64_t>(object["delay"].get<double>() * 1000));
}

}  // namespace

std::string request(const std::string& id, const std::string& path, const std::string& scratch,
                    const std::vector<std::pair<std::string, std::string>>& tags) {
  std::string line = "{\"id\": " + json_text(id) + ", \"path\": " + json_text(path) + ", \"scratch\": " + json_text(scratch) + ", \"tags\": {";
  for (std::size_t i = 0; i < tags.size(); ++i) {
    line += (i == 0 ? "" : ", ") + json_text(tags[i].first) + ": " + json_text(tags[i].second);
  }
  return line + "}}";
}

Answer parse_answer(const std::string& line, const std::string& id) {
  const json object = parsed(line);
  if (object.contains("id") && object["id"] != json(id)) throw OtherRequest("its answer is to another request than " + id);
  Answer answer{result_of(object), tags_of(object), {}};
  if (!object.contains("outputs")) return answer;
  if (!object["outputs"].is_array()) throw wrong("outputs is an array");
  for (const json& output : object["outputs"]) {
    if (!output.is_object() || !output.contains("path")) throw wrong("an output is an object with a path");
    answer.outputs.push_back({text_of(output["path"], "path"), text_member(output, "to"), tags_of(output)});
  }
  return answer;
}

bool is_ready(const std::string& line) {
  const json object = json::parse(line, nullptr, false);
  return object.is_object() && object.contains("ready") && object["ready"].is_boolean() && object["ready"].get<bool>();
}

}  // namespace line_protocol
