// One call to a step: the files in its hands and what it staged. Nothing of it is visible until `finish`.
//
// The C functions of host_table change a Treatment; the ending (ending_policy) turns it into calls of the spool.
// Owned by the step runner, used on its thread only, reset between calls.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libmfdata/spool.hpp"
#include "wire/worker_settings.hpp"

namespace mfdata {

inline constexpr std::size_t kWholeBatch = static_cast<std::size_t>(-1);

struct TreatedFile {
  int input = -1;                    // index of its job; -1: a new file
  std::size_t parent = kWholeBatch;  // index of the job it belongs to; or it belongs to all of them
  std::string path;      // relative to the data directory
  std::string absolute;
  TagSet tags;
  bool moved = false;    // staged as a move
  std::string reason;    // of its result in a batch
  std::optional<std::int64_t> retry_delay_ms;
};

}  // namespace mfdata

// What the ABI's opaque file is.
struct mfdata_file : mfdata::TreatedFile {};

namespace mfdata {

enum class Op { kMove = 1, kCopy, kLink };

// One name in a directory: not empty, not "." or "..", without "/" and zero byte, at most 255 bytes.
bool can_be_file_name(std::string_view name);

struct StagedOutput {
  mfdata_file* file = nullptr;
  Op op = Op::kMove;
  std::string step;              // dotted; empty: a delivery
  std::uint16_t target = 0;      // index into the worker's targets; meaningless for a delivery
  std::string path;              // of a delivery, absolute
  DeliveryStyle style;
  bool far = false;              // on another filesystem
};

// Of a delivery: whether directories that are missing below its directory are made, and with which mode.
struct MakeDirectories {
  bool wanted = false;
  std::uint32_t mode = 0;  // permission bits; 0: those of the directory that they are made in
};

class Treatment {
 public:
  static constexpr std::size_t kMaxOutputs = 10'000;

  static std::uint64_t next_hop(const TagSet& tags);  // the hop that begins now: 0 for the first

  Treatment(const Spool& spool, const Slot& slot, const wire::WorkerSettings& settings)
      : spool_(spool), slot_(slot), settings_(settings) {}

  // Takes the jobs and makes the next hop's tags of each: step_counter, enter_step.
  void begin(std::vector<Job> jobs, const std::string& batch_id);
  // For a predicate: a file with these tags, which may only be read.
  void begin_reading(const std::string& absolute, const TagSet& tags);
  bool read_only() const { return read_only_; }
  void reset();  // forgets everything, and removes what was made and not staged
  void clear_scratch();  // what the call left there; `reset` does it too
  void remove_new_files();  // what was made and not committed takes no room; nothing can be staged any more

  std::vector<Job>& jobs() { return jobs_; }
  mfdata_file* input(std::size_t index) { return &files_[index]; }
  std::vector<StagedOutput>& staged() { return staged_; }
  // The hop of the input that the file is, or inherits from; of a file of the whole batch the highest one of its inputs.
  std::uint64_t hop_of(const mfdata_file& file) const;
  std::string uid_of(const mfdata_file* file) const;  // of a new file: when it is staged next; empty: a batch, in which nobody knows

  Result<mfdata_file*> tmp_file(const mfdata_file* inherit);
  Result<std::string> scratch_dir();  // absolute
  Result<mfdata_file*> adopt(const std::string& path, const mfdata_file* inherit);
  Result<void> emit(mfdata_file* file, Op op, const std::string& target);
  Result<void> deliver(mfdata_file* file, Op op, const std::string& asked, const std::string& basename,
                       const DeliveryStyle& style, MakeDirectories make);

  // The tags of an input as the step got them: what it changed is forgotten.
  TagSet tags_at_begin(std::size_t index) const;

  // The step changed the content of an input, which it may only read.
  bool input_changed(std::size_t index) const;
  bool owns(const mfdata_file* file) const;

  // In this call a host function met trouble that is neither the file's nor the plugin's: kNoSpace, kDestination.
  std::optional<Error> met;
  bool last_chance = false;                   // wire::JobName
  std::string reason;                         // of the result
  std::optional<std::int64_t> retry_delay_ms;  // of a retry

 private:
  Result<mfdata_file*> new_file(const std::string& path, const mfdata_file* inherit);
  Result<void> stage(StagedOutput output);
  std::string next_path();

  const Spool& spool_;
  const Slot& slot_;
  const wire::WorkerSettings& settings_;
  std::vector<Job> jobs_;
  std::vector<std::uint64_t> hops_;
  std::string batch_id_, began_;  // what every file's tags say of this call
  std::deque<mfdata_file> files_;  // the inputs first
  std::vector<StagedOutput> staged_;
  bool made_files_ = false;
  bool made_scratch_ = false;
  bool read_only_ = false;
};

}  // namespace mfdata
