// mfdata/routing.hpp - gives files to several steps, and reads the routing rules of the host (mfdata.rules/1). Header-only;
// for plugins in C++20 like switch and copy.
#pragma once

#include <mfdata/plugin.hpp>

#include <algorithm>

namespace mfdata::sdk {

// A step that gets a file: "plugin/step", with a "*" behind it where a hard link is allowed instead of a copy (the step
// promises not to modify the file).
struct Target {
  std::string step;
  bool link = false;

  static Target parse(std::string_view text) {
    const bool link = text.ends_with('*');
    return {std::string(text.substr(0, text.size() - (link ? 1 : 0))), link};
  }
};

// Each step once, in their order; a link where every mention allows it.
inline std::vector<Target> united(const std::vector<Target>& targets) {
  std::vector<Target> all;
  for (const Target& target : targets) {
    const auto known = std::find_if(all.begin(), all.end(), [&](const Target& other) { return other.step == target.step; });
    if (known == all.end()) {
      all.push_back(target);
    } else {
      known->link = known->link && target.link;
    }
  }
  return all;
}

// Stages the file for all of them: copies first, and the last target gets the file itself, which no copy shares, and
// links may. With `missing`, steps that are not there are left out and named in it, as long as another one gets the file.
inline void send_to_all(const File& file, std::vector<Target> targets, std::vector<std::string>* missing = nullptr) {
  std::stable_partition(targets.begin(), targets.end(), [](const Target& target) { return !target.link; });
  for (std::size_t i = 0; i < targets.size(); ++i) {
    try {
      if (i + 1 == targets.size()) {
        file.move_to(targets[i].step);
      } else if (targets[i].link) {
        file.link_to(targets[i].step);
      } else {
        file.copy_to(targets[i].step);
      }
    } catch (const Error& error) {
      if (!missing || error.code != MFDATA_E_NOTFOUND) throw;
      missing->push_back(targets[i].step);
      if (missing->size() == targets.size()) throw;
    }
  }
}

// The routing rules that plugins address to this one ([[switch_rules]]). Made in a constructor; the texts of a rule live
// as long as the component.
struct Rule {
  std::uint64_t index = 0;
  std::string_view type, tag, pattern, plugin, where;
  std::vector<std::string_view> targets;  // "plugin/step", with a "*" behind it where a hard link is allowed
};

class Rules {
 public:
  explicit Rules(const Context& context)
      : table_(static_cast<const mfdata_rules*>(context.host()->query(context.raw(), MFDATA_RULES, kNeeded))), ctx_(context.raw()) {
    if (!table_) throw Error(MFDATA_E_UNSUPPORTED, "this host has no routing rules");
  }
  std::uint64_t count() const { return table_->count(ctx_); }
  Rule get(std::uint64_t index) const {
    mfdata_rule raw{};
    raw.struct_size = sizeof raw;
    expect(table_->get(ctx_, index, &raw), "rule", std::to_string(index));
    Rule rule{index, view(raw.type), view(raw.tag), view(raw.pattern), view(raw.plugin), view(raw.where), {}};
    for (std::uint32_t i = 0; i < raw.n_targets; ++i) rule.targets.push_back(view(raw.targets[i]));
    return rule;
  }
  // The code rule's answer; nothing: it could not tell, and counts as no.
  std::optional<bool> test(std::uint64_t index, const File& file) const {
    const std::int32_t answer = table_->test(file.context().raw(), index, file.raw());
    return answer < 0 ? std::nullopt : std::optional<bool>(answer != 0);
  }

 private:
  // Not sizeof: the header of a later version has more, which an older host has not, and nobody here needs.
  static constexpr std::uint32_t kNeeded = offsetof(mfdata_rules, test) + sizeof(mfdata_rules::test);

  const mfdata_rules* table_;
  mfdata_ctx* ctx_;
};

}  // namespace mfdata::sdk
