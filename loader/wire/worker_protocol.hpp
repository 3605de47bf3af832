// The messages between the loader and one worker, each one packet of a SOCK_SEQPACKET socket. Pure, but for send_with_descriptor.
//
// A worker runs foreign code: the loader trusts nothing in its messages. decode refuses what is not exactly one of
// these forms, so that a broken worker costs a log line and its own life, never the loader's.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libmfdata/result.hpp"

namespace mfdata::wire {

inline constexpr std::size_t kMaxPacket = 64 * 1024;
inline constexpr std::size_t kMaxJobsPerPacket = 128;
inline constexpr std::size_t kMaxReason = 1000;  // on the wire; the trash has the whole text
inline constexpr std::size_t kMaxDeltasPerPacket = 32;

// Numbers of the descriptors that a worker inherits.
inline constexpr int kChannel = 3;
inline constexpr int kSettings = 4;
inline constexpr int kProgress = 5;

// Loader -> worker: files to treat, by name. They are claimed when their treatment starts.
struct JobName {
  std::uint32_t id = 0;
  std::uint16_t source = 0;  // index into the worker's sources; kStepSource: its step directory
  std::string name;
  bool alone = false;  // it may be what crashed: nobody waits for its commit
  bool last_chance = false;  // it has waited for room for long: when it alone still does not fit, it goes to trash
  bool traced = false;  // somebody follows files: Accepted and Trace are wanted
  bool operator==(const JobName&) const = default;
};
inline constexpr std::uint16_t kStepSource = 0;
struct Jobs {
  std::vector<JobName> jobs;
};
struct Stop {};  // finish the file in hand, then exit

// Worker -> loader.
struct Ready {
  std::string description_version;  // what the library says of itself
  std::uint32_t batch = 0;          // files that it takes at once; 0: one at a time
};
enum class Outcome : std::uint8_t {
  kOk,         // treated
  kFailed,     // failure policy applied
  kRetried,    // waits for another attempt
  kSkipped,    // unmatched policy applied
  kCancelled,  // given back to the step
  kSettled,    // not to be run: finished, or in trash with a reason
  kGone,       // somebody else has it
  kBusy,       // being written
  kRefused,    // by the rules of arrival
  kForeign,    // for accept_foreign
  kNoSpace,    // the disk is full: given back
  kError,      // the system refused: given back, with the text
  kRevoked,    // not begun, since the loader took it back
  kYielded,    // given back; the step wants no file for a while
  kCount
};
// The `result` label of a metric, and the word of a log line; nullptr: nothing was treated.
const char* result_word(Outcome outcome);
struct Done {
  std::uint32_t id = 0;
  Outcome outcome = Outcome::kOk;
  bool trashed = false;
  bool ended = false;              // the file left the spool: nothing of it went to another step
  std::uint64_t bytes = 0;
  std::uint64_t duration_ns = 0;
  std::uint64_t age_ms = 0;        // since its arrival
  std::vector<std::uint16_t> routed;  // indices into the worker's targets
  std::string reason;
  std::uint32_t pause_ms = 0;  // kYielded: for so long
  std::string waits_as;  // kNoSpace, kError: the name before its step of a file that was taken and given back; else empty
};
struct Results {
  std::vector<Done> done;
};
// The uid of an arrival, while names are traced.
struct Accepted {
  std::string uid;
  std::uint64_t device = 0, inode = 0;  // of the arrival
  bool taken = true;                    // false: it is being taken, and that may fail
};
// What became of a file, beside its Done: the uids under which it goes on. In several parts when there is `more`. Told twice:
// before the commit, so that it is known when the worker dies behind it, and after.
struct TracedOutput {
  static constexpr std::uint16_t kDelivered = 0xffff;
  std::string uid;
  std::uint16_t target = kDelivered;  // index into the worker's targets
  bool anew = false;                  // a file with a new origin: it has no tags of the input
  std::string path;                   // of a delivery
};
struct Trace {
  std::string uid;
  std::string origin;  // the uid of the arrival that it came of; empty: it cannot be told
  Outcome outcome = Outcome::kOk;
  bool trashed = false;
  bool more = false;
  bool planned = false;  // nothing is committed yet
  std::string reason;    // of kOk: why what is delivered does not stand there yet
  std::vector<TracedOutput> outputs;
};
inline constexpr std::size_t kMaxTracedOutputs = 12;  // in a packet: of paths of 4096 bytes
// From a reaper: what became of one file of a dead worker.
struct SettledFile {
  std::string uid;
  std::uint32_t crashes = 0;
  bool trashed = false;
  std::string what;
  std::string delivered = {};  // where one that is finished has left the spool to
};
// A change of one of the plugin's metrics.
struct MetricDelta {
  std::uint8_t kind = 0;  // MFDATA_COUNTER, _GAUGE, _HISTOGRAM
  std::string name;
  std::string help;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<double> buckets;
  double value = 0;
};
struct Metrics {
  std::vector<MetricDelta> deltas;
};
// How the component fares: MFDATA_HEALTH_*.
struct Health {
  std::uint8_t state = 0;
  std::string text;
};
// A listener wants a listening socket; and the loader's answer, which carries its descriptor unless there is an error.
struct SocketRequest {
  std::string address;
  std::uint32_t mode = 0;  // of a unix socket
};
struct SocketAnswer {
  std::string error;
};
inline constexpr std::size_t kMaxAddress = 500;
// From a collection.
struct TrashCount {
  std::uint64_t files = 0;
};

// Worker -> its predicates: a part of the context of the file that the next questions are about; it begins anew with
// `first`.
struct ContextPart {
  bool first = false;
  std::string text;
};
inline constexpr std::size_t kMaxContextPart = 32 * 1024;
struct Question {
  std::uint32_t serial = 0;
  std::uint32_t rule = 0;
  std::string path;  // of the file, absolute
};
// Predicates -> worker: of a question, and of each rule once when it is compiled.
struct Answer {
  std::uint32_t serial = 0;  // of the question; 0: compiled
  std::uint32_t rule = 0;
  std::int32_t code = 0;  // 1 yes, 0 no; compiled: MFDATA_OK; otherwise MFDATA_E_*
  std::string reason;
};

using Message = std::variant<Jobs, Stop, Ready, Results, SettledFile, Metrics, ContextPart, Question, Answer, TrashCount, Accepted, Trace, Health, SocketRequest, SocketAnswer>;

std::string encode(const Message& message);
Result<Message> decode(std::string_view packet);

// A call of the plugin that is of no file.
enum class Call : std::uint32_t { kNone, kCreate, kTick, kDrain, kDestroy, kExit, kCount };  // kExit: what it left for the end
const char* call_name(Call call);

// Why a worker ends by itself. kNone at its end: nobody has asked it to, whatever its exit code is.
enum class Farewell : std::uint32_t { kNone, kAsked, kReplaced };  // kReplaced: it has said why in the log

// Exit codes of mfdata-worker that say more than that it failed.
inline constexpr int kRefusedExit = 3;  // the plugin does not load or start
inline constexpr int kSpoiledExit = 4;  // its plugin took from the process what the host needs: ProgressPage::last_words
// An answer with the descriptor unless it is -1; false: the channel is full or closed.
bool send_with_descriptor(int channel, const SocketAnswer& answer, int descriptor);

// Shared memory of a loader and a worker: what is in hand, without a system call. A worker that writes nonsense
// harms only itself.
//
// Taking names back: the worker stores `job`, then reads `revoked_up_to`, and leaves a job alone that is not above
// it. The loader stores `revoked_up_to`, then reads `job`: whatever is above that job has not been begun and never
// will be. Both orders are sequentially consistent, so a name is never treated twice, nor forgotten.
struct ProgressPage {
  // by the worker
  std::atomic<std::uint64_t> started_ns{0};  // CLOCK_MONOTONIC at which the file in hand was begun; 0: idle
  std::atomic<std::uint32_t> job{0};
  std::atomic<std::uint64_t> called_ns{0};  // CLOCK_MONOTONIC at which a Call began that is under way; 0: none
  std::atomic<std::uint32_t> call{0};       // which
  std::atomic<std::uint32_t> farewell{0};
  char last_words[256] = {};  // of a worker that ends as a crash by itself: why; read after its death
  std::atomic<std::uint32_t> unreported{0};  // files that were treated, and whose results were not sent yet
  // Of a listener: what was deposited, and what was a repeat of it; they only grow.
  std::atomic<std::uint64_t> deposits{0}, deposit_bytes{0}, repeats{0};
  // Whom the loader charges with the death of this worker, read after it: Crash::in_hand.
  char in_hand[96] = {};
  // by the loader
  std::atomic<std::uint32_t> revoked_up_to{0};
  std::atomic<std::uint32_t> pressure{0};  // 0 none, 1 busy, 2 full
  std::atomic<std::uint32_t> retry_after_ms{0};
};

}  // namespace mfdata::wire
