// Trash: where a file that its step could not treat waits for a person, with what is known of the failure.
//
// "<uid>.json" (the note) and "<uid>.tags" (the tags, for people) are written first; then the file is renamed to
// trash/<plugin>.<step>/ with its context untouched: that rename is the commit (model: Spool.trash). A trash move
// that fails leaves the file where it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libmfdata/spool.hpp"

namespace mfdata {

struct TrashNote {
  std::string reason;          // one or two words: "failed", "crashed", "emptied", "loop"
  std::string text;            // the error text
  std::string plugin_version;  // of the plugin that failed
  unsigned attempts = 1;
  std::optional<TagSet> tags;  // of the failed attempt; nothing: those of the file's context
};

// Where trash has another file with this uid already, it gets a uid of its own.
Result<void> trash(const Spool& spool, const Slot& slot, const Job& job, const TrashNote& note);

inline constexpr const char* kNameTaken = "name taken";  // a TrashNote::reason
// A file of a slot whose name is taken where it belongs. By itself (two names of one file): the name in the slot ends. By another
// file: it goes to trash. True: to trash.
Result<bool> set_aside(const Spool& spool, const Slot& slot, const Job& job, const std::string& taken);

// The text of "<uid>.json".
std::string trash_record(const Slot& slot, const Job& job, const TrashNote& note);

}  // namespace mfdata
