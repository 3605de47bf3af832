// A compiled pattern of a rule: a regular expression (anchored at the start, as Python's re.match), or a shell pattern
// (the whole text, as Python's fnmatch.fnmatchcase). PCRE2 with JIT; the work of one match is bounded. A value that is no
// UTF-8 is matched as bytes are in Python, by the UTF-8 of the pattern. What nobody asks costs next to nothing: a shell
// pattern, which is never wrong, is compiled when it is asked first, and JIT is for what is asked.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

// A text to match, looked at once: characters where it is valid UTF-8, bytes otherwise.
struct Subject {
  explicit Subject(std::string_view value);
  std::string_view text;
  bool utf8;
};

class Pattern {
 public:
  static Pattern regex(std::string_view text);
  static Pattern shell(std::string_view text);

  // What is wrong with it; empty: nothing. A wrong pattern matches nothing.
  const std::string& error() const { return error_; }
  // Nothing: the match took more than its share, or the pattern is wrong.
  std::optional<bool> matches(const Subject& subject) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  using Code = std::unique_ptr<pcre2_real_code_8, Free>;

  Pattern(std::string_view source, bool is_shell);
  Code compile(bool utf8, std::string& error) const;
  const pcre2_real_code_8* code_for(const Subject& subject) const;

  std::string source_;
  bool is_shell_;
  std::string error_;
  mutable Code characters_;
  mutable Code bytes_;  // made when the first text comes that is no UTF-8
  mutable bool asked_characters_ = false, asked_bytes_ = false;
};

// A shell pattern as a regular expression, of characters or of bytes.
std::string shell_expression(std::string_view pattern, bool utf8);
// What every text that matches it begins with, or ends with; empty: nothing is known.
std::string_view shell_prefix(std::string_view pattern);
std::string_view shell_suffix(std::string_view pattern);
std::string_view regex_prefix(std::string_view pattern);
