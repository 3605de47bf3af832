// Transaction: input(s), outputs and sidecars of one treatment become visible together (model: Spool.transaction).
//
// They stand in slot/txn/{in,out/<target>,context}; renaming txn to tmp/commit/<id> is the commit. Before it an
// abort undoes everything (recovery), after it anybody rolls forward: each rename consumes its own record.
// <id> is "<plugin>.<step>.<slot>.<name of the first input>", so that the living know what a dead worker left.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libmfdata/spool.hpp"
#include "libmfdata/trash.hpp"

namespace mfdata {

// One thing that a treatment leaves behind.
struct Output {
  enum class Content {
    kNew,     // a new file of the slot (slot/out): moved
    kInput,   // an input: a second name of its inode, whose attribute stays as it is
    kCopy,    // an input: a copy (reflink where the filesystem has it)
    kText,    // a small text of the host: companions, contexts of far deliveries
  };
  Content content = Content::kNew;
  std::string path;       // kNew: in the slot; kInput, kCopy: of the input
  std::string text;       // kText
  std::string directory;  // "step.P.S", "step.P.S_reinject", "trash/P.S", or the word kDeliver
  std::string filename;   // there
  std::optional<Context> context;  // nothing: keeps the one its name says (trash), or has none (texts)
};

// The target of deliveries; their path stands in the `to` of the context.
inline constexpr const char* kDeliver = "deliver";

// Ends all `jobs` in one transaction. An error before the commit leaves the slot to `abort_transaction`; one after
// it (kNoSpace of a far delivery) leaves the commit in tmp/commit, where `roll_forward` takes it up again: then
// `committed` is true.
Result<void> transaction(const Spool& spool, const Slot& slot, const std::vector<Job*>& jobs,
                         std::vector<Output>& outputs, bool& committed);

// Publishes what stands in tmp/commit/<id>, from wherever an earlier attempt stopped.
Result<void> roll_forward(const Spool& spool, const std::string& id);

// Every commit of this slot (prefix), or all of them (empty prefix). The first error, after having tried all.
Result<void> roll_forward_all(const Spool& spool, const std::string& prefix);

// Undoes what stands in slot/txn: sidecars go back first, then the inputs to slot/in, then the rest away.
Result<void> return_sidecars(const Spool& spool, const Slot& slot);
Result<void> abort_transaction(const Spool& spool, const Slot& slot);

}  // namespace mfdata
