// The data directory of a home: its disk, its durability, and the contexts of the files in it.
//
// A Spool holds no state but its root; any number of processes work on one directory at a time, each in its own
// slot. The order of system calls in this and the files beside it (arrival, claim, ending, transaction, delivery,
// trash, recovery) is that of tests/model/spool_model.py, which is the specification.
#pragma once

#include <functional>
#include <cstdint>
#include <string>
#include <vector>

#include "libmfdata/context.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/spool_layout.hpp"
#include "libmfdata/spool_name.hpp"

namespace mfdata {

enum class Durability { kProcess, kAccepted, kEveryHop };  // DESIGN: Durability

Result<Durability> parse_durability(const std::string& text);

// Protections of the protocol. Each can be switched off, for control tests only, by naming it (comma-separated) in
// the environment variable MFDATA_TEST_WITHOUT: a test that does not notice its absence tests nothing.
enum class Protection {
  kContextLast,       // the context is written before the rename
  kSweepFirst,        // commits are rolled forward before outputs are swept
  kRollAtDeath,       // a commit is rolled forward when its worker dies
  kSharedAttribute,   // the attribute of a shared inode is not written
  kUid,               // a context is believed only under its own uid
  kFsync,             // a new inode is forced before its input goes
  kSizeCheck,         // an emptied file is recognised by its size
  kNoReplace,         // a delivery never overwrites
  kRecovery,          // files of a dead worker return to their step
  kGeneration,        // a finished hop is not run again
  kCount
};

const char* name_of(Protection protection);

class Spool {
 public:
  static Result<Spool> open(const std::string& data_dir, Durability durability);

  const Disk& disk() const { return disk_; }
  bool forces_inodes() const { return durability_ != Durability::kProcess && !off(Protection::kFsync); }
  bool forces_hops() const { return durability_ == Durability::kEveryHop; }
  bool off(Protection protection) const { return (removed_ >> static_cast<unsigned>(protection)) & 1; }
  bool any_protection_off() const { return removed_ != 0; }

  // Makes the directories that all steps share, and those of one step or slot. Existing ones are left as they are.
  Result<void> prepare() const;
  Result<void> prepare_step(const std::string& step) const;
  Result<void> prepare_slot(const Slot& slot) const;

  // The context that the file's name says: of its attribute, or of its sidecar. kGone: there is none, or it is
  // another file's; kBadData: it does not parse.
  Result<Context> context_of(int file, const SpoolName& name, const std::string& path) const;
  // Writes a context to a new file and forces it where the level asks for it.
  Result<void> write_sidecar(const std::string& path, const Context& context) const;
  // A new small file of text; forced like a new inode, companions (.json, .tags) only below every-hop's promise.
  Result<void> write_text(const std::string& path, const std::string& text, bool companion) const;
  // The same, left to the caller to force; on an error nothing stands there.
  Result<FileDescriptor> create_text(const std::string& path, const std::string& text) const;
  bool forces_text(bool companion) const { return companion ? forces_hops() : forces_inodes(); }

  // Told of each file that leaves the spool, and where it stands: the name that it was to have may have been taken. Empty: nobody.
  using DeliveryObserver = std::function<void(const std::string& uid, const std::string& path)>;
  void observe_deliveries(DeliveryObserver observer) const { observer_ = std::move(observer); }
  void note_delivered(const std::string& uid, const std::string& path) const {
    if (observer_) observer_(uid, path);
  }

 private:
  Spool(Disk disk, Durability durability) : disk_(std::move(disk)), durability_(durability) {}

  Disk disk_;
  Durability durability_;
  std::uint32_t removed_ = 0;
  mutable DeliveryObserver observer_;
};

// A file in a slot whose treatment is about to start.
struct Job {
  SpoolName name;
  std::string path;     // in the slot, relative to the data directory
  FileDescriptor file;  // read-only
  struct stat status {};
  Context context;
};

}  // namespace mfdata
