#include "wire/worker_protocol.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace mfdata::wire {
namespace {

constexpr std::size_t kMaxPath = 4096;

enum class Type : std::uint8_t { kJobs = 1, kStop, kReady, kResults, kSettledFile, kMetrics, kContextPart, kQuestion, kAnswer, kTrashCount, kAccepted, kTrace, kHealth, kSocketRequest, kSocketAnswer };

class Writer {
 public:
  explicit Writer(Type type) { number(static_cast<std::uint8_t>(type)); }
  template <class Number>
  void number(Number value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof value);
  }
  void text(std::string_view value, std::size_t limit) {
    value = value.substr(0, limit);
    number(static_cast<std::uint16_t>(value.size()));
    out_ += value;
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// Reads from the front; after the first failure everything reads as zero and `ok` is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <class Number>
  Number number() {
    Number value{};
    if (rest_.size() < sizeof value) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  std::string text(std::size_t limit) {
    const auto size = number<std::uint16_t>();
    if (size > limit || size > rest_.size()) {
      ok_ = false;
      return "";
    }
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  // A count of elements that have at least `each` bytes.
  std::size_t count(std::size_t each, std::size_t limit) {
    const auto value = number<std::uint16_t>();
    if (value > limit || value * each > rest_.size()) ok_ = false;
    return ok_ ? value : 0;
  }
  bool flag() {
    const auto value = number<std::uint8_t>();
    if (value > 1) ok_ = false;
    return value == 1;
  }
  void require(bool holds) { ok_ = ok_ && holds; }
  bool finished() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

struct Encoder {
  std::string operator()(const Jobs& message) const {
    Writer out(Type::kJobs);
    out.number(static_cast<std::uint16_t>(message.jobs.size()));
    for (const JobName& job : message.jobs) {
      out.number(job.id);
      out.number(job.source);
      out.number(static_cast<std::uint8_t>(job.alone));
      out.number(static_cast<std::uint8_t>(job.last_chance));
      out.number(static_cast<std::uint8_t>(job.traced));
      out.text(job.name, 255);
    }
    return out.take();
  }
  std::string operator()(const Stop&) const { return Writer(Type::kStop).take(); }
  std::string operator()(const Ready& message) const {
    Writer out(Type::kReady);
    out.text(message.description_version, 255);
    out.number(message.batch);
    return out.take();
  }
  std::string operator()(const Results& message) const {
    Writer out(Type::kResults);
    out.number(static_cast<std::uint16_t>(message.done.size()));
    for (const Done& done : message.done) {
      out.number(done.id);
      out.number(static_cast<std::uint8_t>(done.outcome));
      out.number(static_cast<std::uint8_t>(done.trashed));
      out.number(static_cast<std::uint8_t>(done.ended));
      out.number(done.bytes);
      out.number(done.duration_ns);
      out.number(done.age_ms);
      out.number(static_cast<std::uint16_t>(std::min<std::size_t>(done.routed.size(), 1024)));
      for (std::size_t i = 0; i < std::min<std::size_t>(done.routed.size(), 1024); ++i) out.number(done.routed[i]);
      out.number(done.pause_ms);
      out.text(done.reason, kMaxReason);
      out.text(done.waits_as, kMaxReason);
    }
    return out.take();
  }
  std::string operator()(const SettledFile& message) const {
    Writer out(Type::kSettledFile);
    out.text(message.uid, 255);
    out.number(message.crashes);
    out.number(static_cast<std::uint8_t>(message.trashed));
    out.text(message.what, kMaxReason);
    out.text(message.delivered, kMaxPath);
    return out.take();
  }
  std::string operator()(const Metrics& message) const {
    Writer out(Type::kMetrics);
    out.number(static_cast<std::uint16_t>(message.deltas.size()));
    for (const MetricDelta& delta : message.deltas) {
      out.number(delta.kind);
      out.text(delta.name, 200);
      out.text(delta.help, 500);
      out.number(static_cast<std::uint16_t>(delta.labels.size()));
      for (const auto& [key, value] : delta.labels) {
        out.text(key, 100);
        out.text(value, 200);
      }
      out.number(static_cast<std::uint16_t>(delta.buckets.size()));
      for (const double bucket : delta.buckets) out.number(bucket);
      out.number(delta.value);
    }
    return out.take();
  }
  std::string operator()(const Health& message) const {
    Writer out(Type::kHealth);
    out.number(message.state);
    out.text(message.text, kMaxReason);
    return out.take();
  }
  std::string operator()(const SocketRequest& message) const {
    Writer out(Type::kSocketRequest);
    out.text(message.address, kMaxAddress);
    out.number(message.mode);
    return out.take();
  }
  std::string operator()(const SocketAnswer& message) const {
    Writer out(Type::kSocketAnswer);
    out.text(message.error, kMaxReason);
    return out.take();
  }
  std::string operator()(const ContextPart& message) const {
    Writer out(Type::kContextPart);
    out.number(static_cast<std::uint8_t>(message.first));
    out.text(message.text, kMaxContextPart);
    return out.take();
  }
  std::string operator()(const Question& message) const {
    Writer out(Type::kQuestion);
    out.number(message.serial);
    out.number(message.rule);
    out.text(message.path, kMaxPath);
    return out.take();
  }
  std::string operator()(const Answer& message) const {
    Writer out(Type::kAnswer);
    out.number(message.serial);
    out.number(message.rule);
    out.number(message.code);
    out.text(message.reason, kMaxReason);
    return out.take();
  }
  std::string operator()(const TrashCount& message) const {
    Writer out(Type::kTrashCount);
    out.number(message.files);
    return out.take();
  }
  std::string operator()(const Accepted& message) const {
    Writer out(Type::kAccepted);
    out.text(message.uid, 255);
    out.number(message.device);
    out.number(message.inode);
    out.number(static_cast<std::uint8_t>(message.taken));
    return out.take();
  }
  std::string operator()(const Trace& message) const {
    Writer out(Type::kTrace);
    out.text(message.uid, 255);
    out.text(message.origin, 255);
    out.number(static_cast<std::uint8_t>(message.outcome));
    out.number(static_cast<std::uint8_t>(message.trashed));
    out.number(static_cast<std::uint8_t>(message.more));
    out.number(static_cast<std::uint8_t>(message.planned));
    out.text(message.reason, kMaxReason);
    out.number(static_cast<std::uint16_t>(std::min(message.outputs.size(), kMaxTracedOutputs)));
    for (std::size_t i = 0; i < std::min(message.outputs.size(), kMaxTracedOutputs); ++i) {
      out.text(message.outputs[i].uid, 255);
      out.number(message.outputs[i].target);
      out.number(static_cast<std::uint8_t>(message.outputs[i].anew));
      out.text(message.outputs[i].path, kMaxPath);
    }
    return out.take();
  }
};

Jobs read_jobs(Reader& in) {
  Jobs message;
  for (std::size_t left = in.count(11, kMaxJobsPerPacket); left > 0; --left) {
    JobName job;
    job.id = in.number<std::uint32_t>();
    job.source = in.number<std::uint16_t>();
    job.alone = in.flag();
    job.last_chance = in.flag();
    job.traced = in.flag();
    job.name = in.text(255);
    in.require(!job.name.empty() && job.name.find('/') == std::string::npos);
    message.jobs.push_back(std::move(job));
  }
  return message;
}

Results read_results(Reader& in) {
  Results message;
  for (std::size_t left = in.count(41, kMaxJobsPerPacket); left > 0; --left) {
    Done done;
    done.id = in.number<std::uint32_t>();
    const auto outcome = in.number<std::uint8_t>();
    in.require(outcome < static_cast<std::uint8_t>(Outcome::kCount));
    done.outcome = static_cast<Outcome>(outcome);
    done.trashed = in.flag();
    done.ended = in.flag();
    done.bytes = in.number<std::uint64_t>();
    done.duration_ns = in.number<std::uint64_t>();
    done.age_ms = in.number<std::uint64_t>();
    for (std::size_t n = in.count(2, 1024); n > 0; --n) done.routed.push_back(in.number<std::uint16_t>());
    done.pause_ms = in.number<std::uint32_t>();
    done.reason = in.text(kMaxReason);
    done.waits_as = in.text(kMaxReason);
    message.done.push_back(std::move(done));
  }
  return message;
}

Trace read_trace(Reader& in) {
  Trace message;
  message.uid = in.text(255);
  message.origin = in.text(255);
  const auto outcome = in.number<std::uint8_t>();
  in.require(outcome < static_cast<std::uint8_t>(Outcome::kCount));
  message.outcome = static_cast<Outcome>(outcome);
  message.trashed = in.flag();
  message.more = in.flag();
  message.planned = in.flag();
  message.reason = in.text(kMaxReason);
  for (std::size_t n = in.count(7, kMaxTracedOutputs); n > 0; --n) {
    TracedOutput output;
    output.uid = in.text(255);
    output.target = in.number<std::uint16_t>();
    output.anew = in.flag();
    output.path = in.text(kMaxPath);
    message.outputs.push_back(std::move(output));
  }
  return message;
}

Metrics read_metrics(Reader& in) {
  Metrics message;
  for (std::size_t left = in.count(17, 1024); left > 0; --left) {
    MetricDelta delta;
    delta.kind = in.number<std::uint8_t>();
    in.require(delta.kind >= 1 && delta.kind <= 3);
    delta.name = in.text(200);
    delta.help = in.text(500);
    for (std::size_t n = in.count(4, 16); n > 0; --n) {
      std::string key = in.text(100);
      delta.labels.emplace_back(std::move(key), in.text(200));
    }
    for (std::size_t n = in.count(8, 64); n > 0; --n) delta.buckets.push_back(in.number<double>());
    delta.value = in.number<double>();
    message.deltas.push_back(std::move(delta));
  }
  return message;
}

Message read_message(Reader& in) {
  switch (static_cast<Type>(in.number<std::uint8_t>())) {
    case Type::kJobs: return read_jobs(in);
    case Type::kStop: return Stop{};
    case Type::kReady: {
      Ready message;
      message.description_version = in.text(255);
      message.batch = std::min(in.number<std::uint32_t>(), std::uint32_t{10'000});
      return message;
    }
    case Type::kResults: return read_results(in);
    case Type::kSettledFile: {
      SettledFile message;
      message.uid = in.text(255);
      message.crashes = in.number<std::uint32_t>();
      message.trashed = in.flag();
      message.what = in.text(kMaxReason);
      message.delivered = in.text(kMaxPath);
      return message;
    }
    case Type::kMetrics: return read_metrics(in);
    case Type::kContextPart: {
      const bool first = in.flag();
      return ContextPart{first, in.text(kMaxContextPart)};
    }
    case Type::kQuestion: {
      Question message;
      message.serial = in.number<std::uint32_t>();
      message.rule = in.number<std::uint32_t>();
      message.path = in.text(kMaxPath);
      return message;
    }
    case Type::kAnswer: {
      Answer message;
      message.serial = in.number<std::uint32_t>();
      message.rule = in.number<std::uint32_t>();
      message.code = in.number<std::int32_t>();
      message.reason = in.text(kMaxReason);
      return message;
    }
    case Type::kAccepted: {
      Accepted message;
      message.uid = in.text(255);
      message.device = in.number<std::uint64_t>();
      message.inode = in.number<std::uint64_t>();
      message.taken = in.flag();
      return message;
    }
    case Type::kHealth: {
      Health message;
      message.state = in.number<std::uint8_t>();
      in.require(message.state <= 2);
      message.text = in.text(kMaxReason);
      return message;
    }
    case Type::kSocketRequest: {
      SocketRequest message;
      message.address = in.text(kMaxAddress);
      message.mode = in.number<std::uint32_t>();
      return message;
    }
    case Type::kSocketAnswer: return SocketAnswer{in.text(kMaxReason)};
    case Type::kTrace: return read_trace(in);
    case Type::kTrashCount: return TrashCount{in.number<std::uint64_t>()};
  }
  in.require(false);
  return Stop{};
}

}  // namespace

const char* call_name(Call call) {
  switch (call) {
    case Call::kCreate: return "create";
    case Call::kTick: return "tick";
    case Call::kDrain: return "drain";
    case Call::kDestroy: return "destroy";
    case Call::kExit: return "the end of its process";
    case Call::kNone:
    case Call::kCount: break;
  }
  return "a call";
}

const char* result_word(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk: return "ok";
    case Outcome::kFailed: return "failed";
    case Outcome::kRetried: return "retried";
    case Outcome::kSkipped: return "skipped";
    case Outcome::kSettled: return "settled";
    default: return nullptr;
  }
}

std::string encode(const Message& message) { return std::visit(Encoder(), message); }

Result<Message> decode(std::string_view packet) {
  Reader in(packet);
  Message message = read_message(in);
  if (!in.finished()) return Error{Code::kBadData, 0, "a packet of " + std::to_string(packet.size()) + " bytes that is no message"};
  return message;
}

bool send_with_descriptor(int channel, const SocketAnswer& answer, int descriptor) {
  const std::string packet = encode(answer);
  iovec part{const_cast<char*>(packet.data()), packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  return ::sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(packet.size());
}

}  // namespace mfdata::wire
