#include "libmfdata/toml_reader.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <toml.hpp>
#include <vector>

#include "libmfdata/disk.hpp"
#include "libmfdata/printable.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;
constexpr int kMaxDepth = 32;
constexpr int kMaxDots = 16;
constexpr int kMaxElements = 20'000;
constexpr std::size_t kMaxLine = 64 * 1024;
constexpr const char* kLongLine =
    "a line is longer than 65536 bytes: an inline table { } stands on one line, so write a long one as a table of its own, with one key "
    "on each line (many rules: [switch_rules.rules] below their [[switch_rules]])";

std::string cut(std::string text) {
  text.resize(std::min<std::size_t>(text.size(), 160));
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return out;
}

Error at(const std::string& filename, int line, const std::string& what) {
  return Error{Code::kBadConfig, 0, filename + ':' + std::to_string(line) + ": " + what};
}

// Tracks strings and comments, so that brackets and dots inside them do not count.
class Bounds {
 public:
  explicit Bounds(std::string filename) : filename_(std::move(filename)) {}

  Result<void> scan(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\n') {
        ++line_;
        column_start_ = i + 1;
        dots_ = 0;
        comment_ = false;
        if (quote_length_ == 1) quote_length_ = 0;
        continue;
      }
      if (i - column_start_ > kMaxLine) return at(filename_, line_, kLongLine);
      if (comment_) continue;
      if (quote_length_ > 0) {
        inside_string(text, i);
        continue;
      }
      MFDATA_TRY(outside_string(text, i));
    }
    return {};
  }

 private:
  void inside_string(const std::string& text, std::size_t& i) {
    if (text[i] == '\\' && quote_ == '"') {
      if (i + 1 < text.size() && text[i + 1] != '\n') ++i;
    } else if (text.compare(i, quote_length_, std::string(quote_length_, quote_)) == 0) {
      i += quote_length_ - 1;
      quote_length_ = 0;
    }
  }

  Result<void> outside_string(const std::string& text, std::size_t& i) {
    const char c = text[i];
    if (c == '#') comment_ = true;
    if (c == '"' || c == '\'') {
      quote_ = c;
      quote_length_ = text.compare(i, 3, std::string(3, c)) == 0 ? 3 : 1;
      i += quote_length_ - 1;
    }
    if (c == '.' && ++dots_ > kMaxDots) return at(filename_, line_, "a key has more than 16 dots");
    if (c == '=' || c == ',' || c == '[' || c == '{') dots_ = 0;  // not at a space: it may stand between a dot and its key
    if (c == '[' || c == '{') {
      if (++depth_ > kMaxDepth) return at(filename_, line_, "brackets are nested more than 32 deep");
      if (depth_ == 1) commas_ = 0;
    }
    if ((c == ']' || c == '}') && depth_ > 0) --depth_;
    if (c == ',' && ++commas_ > kMaxElements) return at(filename_, line_, "an array has more than 20000 elements");
    return {};
  }

  std::string filename_;
  int line_ = 1;
  std::size_t column_start_ = 0;
  int depth_ = 0;
  int dots_ = 0;
  int commas_ = 0;
  char quote_ = 0;
  std::size_t quote_length_ = 0;
  bool comment_ = false;
};

// toml11 clamps whole numbers that do not fit into 64 bits to the limits without a word.
bool clamped(const toml::value& value) {
  const std::int64_t number = value.as_integer(std::nothrow);
  if (number != INT64_MAX && number != INT64_MIN) return false;
  std::string line = value.location().line_str();
  line.erase(std::remove(line.begin(), line.end(), '_'), line.end());
  return line.find(number == INT64_MAX ? "9223372036854775807" : "-9223372036854775808") == std::string::npos;
}

// toml11's values as ours. Its location() counts the lines of the file anew for each value: a table of their starts is
// made once instead.
class Converter {
 public:
  explicit Converter(const std::string& filename) : filename_(filename) {}

  Result<ConfigValue> convert(const toml::value& value) {
    const Location where = location_of(value);
    switch (value.type()) {
      case toml::value_t::boolean: return ConfigValue(value.as_boolean(std::nothrow), where);
      case toml::value_t::integer:
        if (clamped(value)) return at(filename_, where.line, "a number does not fit into 64 bits\n    " + where.text);
        return ConfigValue(static_cast<std::int64_t>(value.as_integer(std::nothrow)), where);
      case toml::value_t::floating: return ConfigValue(value.as_floating(std::nothrow), where);
      case toml::value_t::string: return ConfigValue(value.as_string(std::nothrow).str, where);
      case toml::value_t::array: return convert_array(value, where);
      case toml::value_t::table: return convert_table(value, where);
      default: return at(filename_, where.line, "dates and times are not used here: write a string\n    " + where.text);
    }
  }

 private:
  Result<ConfigValue> convert_array(const toml::value& value, const Location& where) {
    ConfigValue::Array array;
    for (const toml::value& element : value.as_array(std::nothrow)) {
      auto converted = convert(element);
      if (!converted) return converted;
      array.push_back(std::move(*converted));
    }
    return ConfigValue(std::move(array), where);
  }

  Result<ConfigValue> convert_table(const toml::value& value, const Location& where) {
    ConfigValue::Table table;
    for (const auto& [key, member] : value.as_table(std::nothrow)) {
      auto converted = convert(member);
      if (!converted) return converted;
      table.emplace_back(key, std::move(*converted));
    }
    std::sort(table.begin(), table.end(), [](const auto& a, const auto& b) {
      return std::pair(a.second.where().line, a.second.where().column) < std::pair(b.second.where().line, b.second.where().column);
    });
    return ConfigValue(std::move(table), where);
  }

  Location location_of(const toml::value& value) {
    const auto* region = dynamic_cast<const toml::detail::region*>(toml::detail::get_region(value));
    if (!region) {
      const auto place = value.location();
      return {filename_, static_cast<int>(place.line()), static_cast<int>(place.column()), cut(place.line_str())};
    }
    const auto begin = region->begin(), end = region->end();
    if (line_starts_.empty()) {
      line_starts_.push_back(0);
      for (auto newline = std::find(begin, end, '\n'); newline != end; newline = std::find(newline + 1, end, '\n')) {
        line_starts_.push_back(newline + 1 - begin);
      }
    }
    const std::ptrdiff_t offset = region->first() - begin;
    const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
    const auto line_begin = begin + *(next - 1);
    return {filename_, static_cast<int>(next - line_starts_.begin()), static_cast<int>(region->first() - line_begin) + 1,
            cut(std::string(line_begin, std::find(line_begin, end, '\n')))};
  }

  const std::string& filename_;
  std::vector<std::ptrdiff_t> line_starts_;
};

}  // namespace

// TOML is UTF-8; toml11 reads past its buffer when it reports a string that is not.
static Result<void> check_utf8(std::string_view text, const std::string& filename) {
  int line = 1;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return at(filename, line, "a byte that is no UTF-8: save the file as UTF-8, and write other bytes of a secret into a file of its own ({file:/path})");
    line += text[0] == '\n';
    text.remove_prefix(length);
  }
  return {};
}

// The library's words say what it met, not what to write instead: ours stand beside them.
static std::string advice(const std::string& what, const std::string& line) {
  const auto says = [&](const char* word) { return what.find(word) != std::string::npos; };
  const bool opens = std::count(line.begin(), line.end(), '{') > std::count(line.begin(), line.end(), '}');
  const std::size_t quote = line.find('"');
  const bool escapes = quote != std::string::npos && line.find('\\', quote) != std::string::npos;
  if (says("escape") || (escapes && says("string"))) return " (a backslash is special between \"...\": write '...' for text with backslashes)";
  if (opens || says("inline_table") || says("inline table"))
    return " (an inline table { ... } stands on one line, without a comma at its end: for a longer one write [name] and a line for each key)";
  const std::size_t first = line.find_first_not_of(" \t");
  if (first != std::string::npos && line[first] == '[' && line.find(']') == std::string::npos) return " (the name of a table ends with \"]\")";
  const bool quotes = line.find_first_of("\"'") != std::string::npos;
  if (says("basic_string") || says("literal_string") || (quotes && says("string"))) return " (a string stands between \"...\" or '...', on one line)";
  if (says("table") && says("exists")) return " (it is written twice: keep one of them, or put the keys of both into it)";
  if (says("duplicate") || says("exists") || says("inserted")) return " (a key is written once)";
  const std::size_t equals = line.find('=');
  if (equals != std::string::npos && line.find_first_not_of(" \t", equals + 1) == std::string::npos)
    return " (a value is missing behind the \"=\")";
  if (equals != std::string::npos) return " (text stands between \"...\"; numbers, true, false and [lists] do not)";
  return " (each line is key = value, or [table])";
}

Result<ConfigValue> parse_toml(const std::string& text, const std::string& filename) {
  if (text.size() > kMaxFile) return at(filename, 1, "the file is larger than 1 MiB");
  if (text.find('\0') != std::string::npos) return at(filename, 1, "the file contains a NUL byte: it is not TOML");
  MFDATA_TRY(check_utf8(text, filename));
  MFDATA_TRY(Bounds(filename).scan(text));
  std::istringstream stream(text);
  try {
    return Converter(filename).convert(toml::parse(stream, filename));
  } catch (const toml::exception& error) {
    const int line = static_cast<int>(error.location().line());
    std::string what = error.what();
    if (const std::size_t message = what.find("] "); message != std::string::npos) what = what.substr(message + 2);
    return Error{Code::kBadConfig, 0,
                 filename + ':' + std::to_string(line) + ':' + std::to_string(error.location().column()) + ": " +
                     cut(what.substr(0, what.find('\n'))) + advice(what, error.location().line_str()) + "\n    " +
                     cut(error.location().line_str())};
  } catch (const std::exception& error) {  // toml11 lets some of its internal exceptions out
    return at(filename, 1, "not TOML: " + cut(error.what()));
  }
}

Result<ConfigValue> read_toml(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return system_error(errno, "cannot read " + path);
  auto text = read_all(file.get(), kMaxFile, path);
  if (!text) return text.error();
  return parse_toml(*text, path);
}

}  // namespace mfdata
