// mfdata/naming.hpp - names with placeholders, and the keys dest_dir, dest_basename and force_chmod that plugins have in
// common which deliver files. Header-only; for plugins in C++20.
#pragma once

#include <mfdata/plugin.hpp>
#include <sys/random.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <utility>

namespace mfdata::sdk {

// Permission bits of an octal text like "0644"; 0 for an empty one.
inline std::uint32_t octal_mode(const std::string& text) {
  char* end = nullptr;
  const unsigned long mode = std::strtoul(text.c_str(), &end, 8);
  if (end != text.c_str() + text.size() || mode > 07777) throw Error(MFDATA_E_ARG, "\"" + text + "\" is no octal mode like 0644");
  return static_cast<std::uint32_t>(mode);
}

// 32 hexadecimal digits that nobody can guess.
inline std::string random_id() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) throw Error(MFDATA_E_IO, "no randomness");
  std::string id;
  for (const unsigned char byte : bytes) {
    id += "0123456789abcdef"[byte >> 4];
    id += "0123456789abcdef"[byte & 15];
  }
  return id;
}

// What {WORD} stands for in names and commands; nothing: no such placeholder.
inline std::optional<std::string> placeholder(const std::string& word, const File& file) {
  if (word == "ORIGINAL_BASENAME") return file.tag("first.core.original_basename").value_or("");
  if (word == "ORIGINAL_DIRNAME") return file.tag("first.core.original_dirname").value_or("");
  if (word == "ORIGINAL_UID") return file.tag("first.core.original_uid").value_or("");
  if (word == "STEP_COUNTER") return file.tag("latest.core.step_counter").value_or("0");
  if (word == "RANDOM_ID") return random_id();
  return std::nullopt;
}

// A name with placeholders: {RANDOM_ID}, {ORIGINAL_BASENAME}, {ORIGINAL_DIRNAME}, {ORIGINAL_UID}, {STEP_COUNTER}, and
// strftime(3) of the local time. strftime is applied to the template only, never to the values.
class NameTemplate {
 public:
  explicit NameTemplate(std::string text) : text_(std::move(text)) {}

  std::string render(const File& file, std::time_t now = std::time(nullptr)) const {
    std::string out, literal;
    for (std::size_t i = 0; i < text_.size();) {
      const std::size_t close = text_[i] == '{' ? text_.find('}', i) : std::string::npos;
      const auto value = close == std::string::npos ? std::nullopt : placeholder(text_.substr(i + 1, close - i - 1), file);
      if (!value) {
        literal += text_[i++];
        continue;
      }
      out += dated(std::exchange(literal, ""), now) + *value;
      i = close + 1;
    }
    return out + dated(literal, now);
  }

 private:
  static std::string dated(const std::string& literal, std::time_t now) {
    if (literal.find('%') == std::string::npos) return literal;
    std::tm local{};
    ::localtime_r(&now, &local);
    std::string out(literal.size() * 16 + 64, '\0');
    out.resize(std::strftime(out.data(), out.size(), literal.c_str(), &local));
    return out;
  }
  std::string text_;
};

// A directory and a name in it, from the keys dest_dir (absolute), dest_basename and force_chmod: what every plugin
// that delivers files has in common.
class Destination {
 public:
  Destination(const Context& context, const std::string& default_basename)
      : directory_(context.text("dest_dir")), basename_(context.text("dest_basename", default_basename)) {
    std::int64_t number = 0;
    if (context.host()->config_integer(context.raw(), c("force_chmod"), &number) == MFDATA_OK) {
      throw Error(MFDATA_E_ARG, "force_chmod is a text: write \"0644\", with quotes");
    }
    style.mode = octal_mode(context.text("force_chmod", ""));
  }
  bool absolute() const { return directory_.starts_with('/'); }
  const std::string& directory() const { return directory_; }
  void deliver(const File& file) {
    style.basename = basename_.render(file);
    file.deliver_to(directory_, style);
  }
  Delivery style;

 private:
  std::string directory_;
  NameTemplate basename_;
};

}  // namespace mfdata::sdk
