#include "wire/rule_codec.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace mfdata::wire {
namespace {

// A rule: which of these are those of the rule before it, one bit each, then those that are not, then the rest.
using Common = std::array<std::string SwitchRule::*, 3>;
constexpr Common kCommon = {&SwitchRule::plugin, &SwitchRule::type, &SwitchRule::tag};
constexpr std::size_t kFileBit = kCommon.size();
constexpr std::size_t kLeastBytes = 3 * sizeof(std::uint32_t) + 1;  // of a rule

void put_number(std::string& out, std::size_t value) {
  const auto number = static_cast<std::uint32_t>(value);
  char bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  out.append(bytes, sizeof number);
}

void put_text(std::string& out, const std::string& text) {
  put_number(out, text.size());
  out += text;
}

// After the first failure everything reads as nothing and `ok` is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::string_view bytes(std::size_t size) {
    ok_ = ok_ && size <= rest_.size();
    if (!ok_) return {};
    const std::string_view front = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return front;
  }
  std::size_t number() {
    std::uint32_t value = 0;
    const std::string_view front = bytes(sizeof value);
    if (!front.empty()) std::memcpy(&value, front.data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(bytes(number())); }
  // Of elements that have at least `each` bytes.
  std::size_t count(std::size_t each) {
    const std::size_t value = number();
    ok_ = ok_ && value <= rest_.size() / each;
    return ok_ ? value : 0;
  }
  bool ok() const { return ok_; }
  bool finished() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::string encode_rules(const std::vector<SwitchRule>& rules) {
  std::string out;
  put_number(out, rules.size());
  const SwitchRule none;
  const SwitchRule* before = &none;
  for (const SwitchRule& rule : rules) {
    unsigned same = rule.where.file == before->where.file ? 1U << kFileBit : 0;
    for (std::size_t i = 0; i < kCommon.size(); ++i) {
      if (rule.*kCommon[i] == before->*kCommon[i]) same |= 1U << i;
    }
    out += static_cast<char>(same);
    for (std::size_t i = 0; i < kCommon.size(); ++i) {
      if ((same & (1U << i)) == 0) put_text(out, rule.*kCommon[i]);
    }
    if ((same & (1U << kFileBit)) == 0) put_text(out, rule.where.file);
    put_number(out, static_cast<std::size_t>(rule.where.line));
    put_text(out, rule.pattern);
    put_number(out, rule.targets.size());
    for (const std::string& target : rule.targets) put_text(out, target);
    before = &rule;
  }
  return out;
}

std::optional<std::vector<SwitchRule>> decode_rules(std::string_view bytes, const std::string& switch_plugin) {
  Reader in(bytes);
  std::vector<SwitchRule> rules(in.count(kLeastBytes));
  const SwitchRule none;
  const SwitchRule* before = &none;
  for (SwitchRule& rule : rules) {
    const std::string_view bits = in.bytes(1);
    if (bits.empty()) return std::nullopt;
    const auto same = static_cast<unsigned char>(bits[0]);
    rule.switch_plugin = switch_plugin;
    for (std::size_t i = 0; i < kCommon.size(); ++i) {
      rule.*kCommon[i] = (same & (1U << i)) != 0 ? before->*kCommon[i] : in.text();
    }
    rule.where.file = (same & (1U << kFileBit)) != 0 ? before->where.file : in.text();
    rule.where.line = static_cast<int>(in.number());
    rule.pattern = in.text();
    rule.targets.resize(in.count(sizeof(std::uint32_t)));
    for (std::string& target : rule.targets) target = in.text();
    if (!in.ok()) return std::nullopt;
    before = &rule;
  }
  if (!in.finished()) return std::nullopt;
  return rules;
}

}  // namespace mfdata::wire
