// mfdata/naming.hpp - names and commands with placeholders, and the keys dest_dir, dest_basename and force_chmod that
// plugins have in common which deliver files. Header-only; for plugins in C++20.
#pragma once

#include <mfdata/plugin.hpp>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <ctime>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mfdata::sdk {

// Permission bits of an octal text like "0644"; 0 for an empty one. `key`: that the text is written for; `most`: of a file it has no
// setuid, setgid and sticky bit, a directory may have the latter two.
inline std::uint32_t octal_mode(const std::string& text, const std::string& key = "force_chmod", std::uint32_t most = 0777) {
  const bool digits = text.find_first_not_of("01234567") == std::string::npos;
  const unsigned long mode = digits && text.size() <= 8 ? std::strtoul(text.c_str(), nullptr, 8) : 010000;
  if (mode > most) throw Error(MFDATA_E_ARG, key + " is octal permission bits like \"0644\", at most " + (most > 0777 ? "3777" : "0777") + ", not \"" + text + '"');
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

// The words that stand for something of the file in hand, in names and in commands.
inline const std::vector<std::string>& placeholders() {
  static const std::vector<std::string> all = {"ORIGINAL_BASENAME", "ORIGINAL_DIRNAME", "ORIGINAL_UID", "STEP_COUNTER",
                                               "RANDOM_ID", "UID"};
  return all;
}

// What {WORD} stands for; nothing: it is none of `placeholders`.
inline std::optional<std::string> placeholder(const std::string& word, const File& file) {
  if (word == "ORIGINAL_BASENAME") return file.tag("first.core.original_basename").value_or("");
  if (word == "ORIGINAL_DIRNAME") return file.tag("first.core.original_dirname").value_or("");
  if (word == "ORIGINAL_UID") return file.tag("first.core.original_uid").value_or("");
  if (word == "STEP_COUNTER") return file.tag("latest.core.step_counter").value_or("0");
  if (word == "RANDOM_ID") return random_id();
  if (word == "UID") {  // the file's own, of one that a step made too; an older host does not tell it
    const auto uid = file.tag("latest.core.uid");
    return uid ? std::string(*uid) : random_id();
  }
  return std::nullopt;
}

namespace detail {

inline std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// How far two words are from each other. One that only leaves letters away is near, as NAME is to BASENAME.
inline std::size_t distance(const std::string& word, const std::string& candidate) {
  std::size_t matched = 0;
  for (const char c : candidate) matched += matched < word.size() && c == word[matched];
  if (word != candidate && word.size() > 1 && matched == word.size()) return 1;
  std::vector<std::size_t> row(candidate.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= word.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= candidate.size(); ++j) {
      const std::size_t replaced = diagonal + (word[i - 1] != candidate[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

// ", did you mean {X}?": the word that was meant, where one is near. The host's own words are known to it too.
inline std::string meant(const std::string& word, std::vector<std::string> known) {
  known.insert(known.end(), {"home", "data_dir", "plugin_dir", "plugin_name", "step_dir"});
  std::string best;
  std::size_t nearest = std::max<std::size_t>(1, word.size() / 2) + 1;
  for (const std::string& candidate : known) {
    const std::size_t far = distance(lower(word.substr(0, 64)), lower(candidate));
    if (far >= nearest) continue;
    nearest = far;
    best = candidate;
  }
  return best.empty() ? "" : ", did you mean {" + best + "}?";
}

}  // namespace detail

// A text in which {WORD} stands for something of the file in hand. It is read once, when the plugin starts, and cannot be
// made with a word that nobody knows: it would stand in the name of every file. {{ and }} are braces themselves: {{WORD}} is
// the text {WORD}. In a command braces mean a lot to programs: only a WORD of letters, digits and _ is a placeholder there,
// {{ and }} are braces only around one, and ${WORD} belongs to the shell, as %{WORD} of a word that is not known belongs to
// the program.
class Template {
 public:
  enum class Kind { kName, kCommand, kShell };  // kShell: a command in which a backslash takes away what a brace means
  struct Piece {
    std::string text;  // as it is, or the word
    bool is_placeholder = false;
  };

  // Throws Error, which names the key.
  Template(const std::string& key, const std::string& text, std::vector<std::string> known, Kind kind)
      : known_(std::move(known)), kind_(kind) {
    for (std::size_t at = 0; at < text.size();) {
      if (text[at] == '{') {
        at += opened(key, text, at);
      } else {
        at += literal(key, text, at);
      }
    }
  }

  const std::vector<Piece>& pieces() const { return pieces_; }
  // `value_of(word)` for each placeholder.
  template <class ValueOf>
  std::string filled(ValueOf&& value_of) const {
    std::string out;
    for (const Piece& piece : pieces_) out += piece.is_placeholder ? std::string(value_of(piece.text)) : piece.text;
    return out;
  }

 private:
  static std::size_t run(const std::string& text, std::size_t at, char brace) {
    return std::min(text.find_first_not_of(brace, at), text.size()) - at;
  }

  // Takes one character that opens nothing; how much it took.
  std::size_t literal(const std::string& key, const std::string& text, std::size_t at) {
    if (kind_ == Kind::kName && text[at] == '}') {
      if (run(text, at, '}') < 2) {
        throw Error(MFDATA_E_ARG, key + ": a \"}\" without its \"{\" in \"" + text + "\" (a brace itself is \"}}\")");
      }
      add("}");
      return 2;
    }
    add(text.substr(at, 1));
    return 1;
  }

  // Takes what begins with a brace.
  std::size_t opened(const std::string& key, const std::string& text, std::size_t at) {
    const std::size_t open = run(text, at, '{'), begin = at + open;
    const std::size_t end = std::min(text.find_first_of("{}", begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    const std::size_t close = run(text, end, '}');
    if (kind_ == Kind::kName) {
      add(std::string(open / 2, '{'));
      if (open % 2 == 0) return open;
      if (close == 0) {
        throw Error(MFDATA_E_ARG, key + ": \"" + text.substr(begin - 1) + "\" is not closed (a brace itself is \"{{\")");
      }
      placeholder(key, word);
      return open + word.size() + 1;
    }
    const std::size_t pairs = std::min(open, close);
    if (pairs == 0 || !is_word(word) || belongs_to_program(text, at, word)) {
      add(text.substr(at, open));
      return open;
    }
    add(std::string(open - pairs + pairs / 2, '{'));
    pairs % 2 == 1 ? placeholder(key, word) : add(word);
    add(std::string(pairs / 2, '}'));
    return open + word.size() + pairs;
  }

  static bool is_word(const std::string& word) {
    if (word.empty() || std::isdigit(static_cast<unsigned char>(word[0]))) return false;
    return std::all_of(word.begin(), word.end(), [](unsigned char c) { return c == '_' || (c < 0x80 && std::isalnum(c)); });
  }
  bool is_known(const std::string& word) const { return std::find(known_.begin(), known_.end(), word) != known_.end(); }
  bool belongs_to_program(const std::string& text, std::size_t at, const std::string& word) const {
    if (at == 0) return false;
    if (text[at - 1] == '$') return true;
    if (text[at - 1] == '%') return !is_known(word);
    std::size_t backslashes = 0;
    while (backslashes < at && text[at - 1 - backslashes] == '\\') ++backslashes;
    return kind_ == Kind::kShell && backslashes % 2 == 1;
  }

  void add(const std::string& text) {
    if (text.empty()) return;
    if (pieces_.empty() || pieces_.back().is_placeholder) pieces_.push_back({});
    pieces_.back().text += text;
  }
  void placeholder(const std::string& key, const std::string& word) {
    if (!is_known(word)) throw unknown(key, word);
    pieces_.push_back({word, true});
  }
  Error unknown(const std::string& key, const std::string& word) const {
    std::string all;
    for (const std::string& one : known_) all += (all.empty() ? "{" : ", {") + one + '}';
    return {MFDATA_E_ARG, key + ": there is no placeholder {" + word + '}' + detail::meant(word, known_) +
                              (all.empty() ? " (there is none of a file here" : " (there are " + all) + "; the text {" + word +
                              "} itself is written {{" + word + "}})"};
  }

  std::vector<std::string> known_;
  Kind kind_;
  std::vector<Piece> pieces_;
};

// A name with `placeholders` and strftime(3) of the local time. strftime is applied to the template only, never to the
// values. What neither of both knows is refused when it is made.
class NameTemplate {
 public:
  explicit NameTemplate(const std::string& text, const std::string& key = "dest_basename")
      : name_(key, text, placeholders(), Template::Kind::kName) {
    for (const Template::Piece& piece : name_.pieces()) {
      if (!piece.is_placeholder) check_dates(key, piece.text);
    }
    check_parts(key, text);
  }

  std::string render(const File& file, std::time_t now = std::time(nullptr)) const {
    std::string out;
    for (const Template::Piece& piece : name_.pieces()) {
      out += piece.is_placeholder ? placeholder(piece.text, file).value_or("") : dated(piece.text, now);
    }
    return out;
  }

 private:
  static constexpr std::string_view kConversions = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%";
  static void check_dates(const std::string& key, const std::string& text) {
    for (std::size_t at = text.find('%'); at != std::string::npos; at = text.find('%', at + 1)) {
      const std::size_t begin = at++;
      at = std::min(text.find_first_not_of("_-0^#", at), text.size());
      for (int digits = 0; digits < 2 && at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])); ++digits) ++at;
      if (at < text.size() && (text[at] == 'E' || text[at] == 'O')) ++at;
      if (at < text.size() && kConversions.find(text[at]) != std::string_view::npos) continue;
      const std::string conversion = text.substr(begin, at + 1 - begin);
      throw Error(MFDATA_E_ARG, key + ": strftime(3) does not know \"" + conversion + "\" (a percent sign itself is \"%%\")");
    }
  }
  // Each part between slashes has to be a name, whatever the placeholders stand for.
  void check_parts(const std::string& key, const std::string& text) const {
    if (text.empty()) return;  // the file keeps its name
    const std::string names = name_.filled([](const std::string& word) { return '{' + word + '}'; });
    for (std::size_t at = 0; at <= names.size();) {
      const std::size_t end = std::min(names.find('/', at), names.size());
      const std::string part = names.substr(at, end - at);
      const std::string trouble = key + ": \"" + text + "\" cannot be a name: a part of it is ";
      if (part == "." || part == "..") throw Error(MFDATA_E_ARG, trouble + '"' + part + "\", and files only go below dest_dir");
      if (part.empty()) throw Error(MFDATA_E_ARG, trouble + "empty (it begins or ends with \"/\", or has \"//\")");
      at = end + 1;
    }
  }
  static std::string dated(const std::string& literal, std::time_t now) {
    if (literal.find('%') == std::string::npos) return literal;
    std::tm local{};
    ::localtime_r(&now, &local);
    std::string out(literal.size() * 50 + 128, '\0');  // a width has two digits at most
    out.resize(std::strftime(out.data(), out.size(), literal.c_str(), &local));
    return out;
  }
  Template name_;
};

// A directory and a name in it, from the keys dest_dir (absolute), dest_basename, force_chmod and make_dirs_mode: what every
// plugin that delivers files has in common. dest_dir has to be there, unless it is inside the home; the sub-directories that
// dest_basename names are made, with make_dirs_mode or the mode of the directory that they are made in.
class Destination {
 public:
  Destination(const Context& context, const std::string& default_basename)
      : directory_(context.text("dest_dir")), basename_(context.text("dest_basename", default_basename)) {
    std::int64_t number = 0;
    if (context.host()->config_integer(context.raw(), c("force_chmod"), &number) == MFDATA_OK) {
      throw Error(MFDATA_E_ARG, "force_chmod is a text: write \"0644\", with quotes");
    }
    style.mode = octal_mode(context.text("force_chmod", ""));
    style.make_directories = true;
    set_directory_mode(style, octal_mode(context.text("make_dirs_mode", ""), "make_dirs_mode", 03777));
    for (const std::string& word : placeholders()) {
      if (directory_.find('{' + word + '}') == std::string::npos) continue;
      throw Error(MFDATA_E_ARG,
                  "dest_dir: {" + word + "} stands for nothing there: write it into dest_basename, which may name sub-directories");
    }
  }
  bool absolute() const { return directory_.starts_with('/'); }
  const std::string& directory() const { return directory_; }
  void deliver(const File& file) {
    style.basename = basename_.render(file);
    file.deliver_to(directory_, style);
  }
  Delivery style;

 private:
  // An older plugin.hpp, beside which this header may stand, has no such mode.
  template <class How>
  static void set_directory_mode(How& how, std::uint32_t mode) {
    if constexpr (requires { how.directory_mode; }) how.directory_mode = mode;
  }

  std::string directory_;
  NameTemplate basename_;
};

}  // namespace mfdata::sdk
