#include "placeholders.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <optional>

#include "libmfdata/home.hpp"

namespace mfdata {
namespace {

std::vector<std::string> words_of(const Names& names) {
  std::vector<std::string> words;
  for (const auto& name : names) words.push_back(name.first);
  return words;
}

// What was meant by a word that is not known; empty: nobody knows.
std::string meant(const std::string& word, const Names& names) {
  if (const std::size_t colon = word.find(':'); colon != std::string::npos) {
    const auto near = near_miss(word.substr(0, colon), {"file", "env"});
    return near ? *near + word.substr(colon) : "";
  }
  return near_miss(word, words_of(names)).value_or("");
}

// Nothing: it is not known. A secret that cannot be had is a problem, and empty.
std::optional<std::string> value_of(const std::string& word, const Names& names,
                                    const Location& where, Problems& problems) {
  const auto known = std::find_if(names.begin(), names.end(),
                                  [&](const auto& name) { return name.first == word; });
  if (known != names.end()) return known->second;
  if (word.starts_with("file:")) {
    auto content = small_file(word.substr(5));
    if (!content) problems.push_back({where, "cannot read the secret of {" + word + '}', ""});
    if (content && content->ends_with('\n')) content->pop_back();
    return content.value_or("");
  }
  if (!word.starts_with("env:")) return std::nullopt;
  const char* value = std::getenv(word.c_str() + 4);
  if (!value) problems.push_back({where, "the environment has no variable for {" + word + '}', ""});
  return value ? value : "";
}

// "did you mean {home}?", and how the text itself is written.
std::string advice(const std::string& word, const Names& names) {
  const std::string near = meant(word, names);
  return (near.empty() ? "" : "did you mean {" + near + "}? ") + "the text {" + word +
         "} itself is written {{" + word + "}}";
}

void for_each_text(const ConfigValue& value, const std::function<void(const ConfigValue&)>& visit) {
  if (value.kind() == ConfigValue::Kind::kTable) {
    for (const auto& member : value.table()) for_each_text(member.second, visit);
  } else if (value.kind() == ConfigValue::Kind::kArray) {
    for (const ConfigValue& element : value.array()) for_each_text(element, visit);
  } else if (value.kind() == ConfigValue::Kind::kString) {
    visit(value);
  }
}

// Letters in lower case and _, as the words have them, up to a colon.
bool is_word(const std::string& word) {
  const std::string head = word.substr(0, word.find(':'));
  return !head.empty() &&
         head.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos;
}

}  // namespace

std::string substituted(const std::string& text, const Names& names, Braces braces,
                        const Location& where, const std::string& what, Problems& problems) {
  const bool path = braces == Braces::kPath;
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (path && (text.compare(i, 2, "{{") == 0 || text.compare(i, 2, "}}") == 0)) {
      out += text[i];
      i += 2;
      continue;
    }
    const std::size_t close = text[i] == '{' ? text.find('}', i) : std::string::npos;
    if (close == std::string::npos) {
      if (path && text[i] == '{') {
        problems.push_back({where, what + ": \"" + text.substr(i) + "\" is not closed",
                            "the brace itself is written {{"});
      }
      out += text[i++];
      continue;
    }
    const std::string word = text.substr(i + 1, close - i - 1);
    const auto value = value_of(word, names, where, problems);
    if (!value && path) {
      problems.push_back(
          {where, what + ": there is no placeholder {" + word + '}', advice(word, names)});
    }
    out += value ? *value : text[i] + word + '}';
    i = close + 1;
  }
  return out;
}

void substitute(ConfigValue& value, const Names& names, Braces braces, const std::string& what,
                Problems& problems) {
  if (value.kind() == ConfigValue::Kind::kTable) {
    for (auto& member : value.table()) substitute(member.second, names, braces, what, problems);
  } else if (value.kind() == ConfigValue::Kind::kArray) {
    for (ConfigValue& element : value.array()) substitute(element, names, braces, what, problems);
  } else if (value.kind() == ConfigValue::Kind::kString) {
    value.string() = substituted(value.string(), names, braces, value.where(), what, problems);
  }
}

void find_misspelt(const ConfigValue& value, const Names& names, const std::string& what,
                   Problems& warnings) {
  const std::vector<std::string> known = words_of(names);
  for_each_text(value, [&](const ConfigValue& one) {
    const std::string& text = one.string();
    for (std::size_t open = text.find('{'); open != std::string::npos;
         open = text.find('{', open + 1)) {
      const std::size_t close = text.find('}', open);
      if (close == std::string::npos) return;
      const std::string word = text.substr(open + 1, close - open - 1);
      if (open > 0 && std::string("${%").find(text[open - 1]) != std::string::npos) continue;
      if (!is_word(word) || std::find(known.begin(), known.end(), word) != known.end()) continue;
      if (word.starts_with("file:") || word.starts_with("env:")) continue;
      const std::string near = meant(word, names);
      if (near.empty()) continue;
      warnings.push_back({one.where(),
                          what + ": {" + word + "} is no placeholder and stays as it is",
                          "did you mean {" + near + "}?", Severity::kWarning});
    }
  });
}

}  // namespace mfdata
