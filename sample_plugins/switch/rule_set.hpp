// The rules of a switch, compiled once: which targets a file with these tags has.
//
// Rules that compare one tag stand together; equal rules are looked up by hash, patterns by what their texts begin or end
// with, rules of its content by the bytes at their place: the cost of a file grows with the rules that can match, not with
// all there are. Its content is asked for only when a rule looks at it.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mfdata/bytes_pattern.hpp>
#include <mfdata/routing.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "pattern.hpp"

// What a file shows to the rules.
struct Facts {
  std::function<std::optional<std::string>(const std::string& tag)> tag;  // nothing: it has none of that name
  std::function<std::optional<bool>(std::uint64_t rule)> code;            // of a code rule; nothing: it cannot tell
  // The first `size` bytes of its content, or as many as it has; nothing: they cannot be read.
  std::function<std::optional<std::string_view>(std::size_t size)> content;
  std::function<void(const std::string& where, const std::string& why)> problem;  // of a rule that counts as no match
};

class RuleSet {
 public:
  // What is wrong with the rule, which is then left out; empty: nothing.
  std::string add(const mfdata::sdk::Rule& rule);
  // In the order of the rules that named them first.
  std::vector<mfdata::sdk::Target> targets(const Facts& facts) const;

 private:
  using Numbers = std::vector<std::size_t>;  // of rules
  struct Rule {
    std::string where, text;
    bool negated = false;
    bool is_code = false;
    std::uint64_t index = 0;         // the host's
    std::optional<Pattern> pattern;  // fnmatch and regex
    std::unique_ptr<mfdata::sdk::BytesPattern> bytes;
    std::vector<std::pair<std::size_t, bool>> targets;  // number, and whether a hard link is allowed
  };
  using ByAffix = std::map<std::size_t, std::unordered_map<std::string, Numbers>>;  // by its length, and by itself
  struct OfTag {
    std::unordered_map<std::string, Numbers> equal;  // by value
    ByAffix beginnings, ends;  // of texts that can match
    Numbers others;            // looked at one by one
  };

  std::size_t target_number(const std::string& step);
  void match(const OfTag& rules, const std::string& value, const Facts& facts, Numbers& matching) const;
  bool holds(const Rule& rule, const Subject& subject, const Facts& facts) const;
  std::string add_content_rule(Rule& rule, std::size_t number);
  void match_content(const Facts& facts, Numbers& matching) const;

  std::deque<Rule> rules_;  // which are large, and stay where they are when there are more
  std::unordered_map<std::string, OfTag> tags_;
  Numbers unconditional_;  // alwaystrue, and code rules
  std::map<std::size_t, ByAffix> contents_;  // of rules of bytes: by their offset, and the bytes there
  Numbers other_contents_;                   // looked at one by one
  std::size_t content_size_ = 0;             // what of a file they look at; 0: there are none
  std::vector<std::string> steps_;
  std::unordered_map<std::string, std::size_t> step_numbers_;
};
