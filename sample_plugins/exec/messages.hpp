// The messages of the line protocol of exec, version 1 (doc/exec.md): one JSON object a line. Those of the program are read
// here, those of the host are written here. Nothing is done with them here.
#pragma once

#include <cstdint>
#include <map>
#include <mfdata/plugin.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "json_text.hpp"

namespace exec_protocol {

constexpr int kVersion = 1;
constexpr std::size_t kMaxLine = 4 << 20;  // of a line that the program writes

// ---- from the program

struct MetricDeclaration {
  std::int32_t kind = MFDATA_COUNTER;
  std::string name, help;
  std::vector<std::string> labels;
  std::vector<double> buckets;
};

// Its first message.
struct Hello {
  std::int64_t version = 0;
  Encoding encoding = Encoding::kSurrogates;
  std::set<std::string> features;
  std::vector<MetricDeclaration> metrics;
};

// It cannot run, and says why instead of its hello.
struct Refusal {
  std::string reason;
};

struct LogLine {
  std::int32_t level = MFDATA_LOG_INFO;
  std::string text;
};

struct MetricValue {
  std::string name;
  double value = 0;
  std::vector<std::string> labels;
};

struct Tag {
  std::string name;
  std::optional<std::string> value;  // nothing: it is deleted
  bool of_hop = false;               // set by hop
  bool with_latest = true;           // of those
};
using Tags = std::vector<Tag>;

// Where an output goes: to a step or into a directory.
struct Destination {
  std::string step, directory;  // one of them
  std::optional<std::int32_t> op;
  mfdata::sdk::Delivery delivery;
};

struct Output {
  std::string path;
  std::optional<std::string> inherit;  // in the result of a batch: the id of a file
  std::vector<Destination> to;         // empty: dest_dir
  Tags tags;
};

// The end of a file or of a batch.
struct Answer {
  std::string id;
  mfdata::sdk::Result result;
  Tags tags;
  std::vector<Output> outputs;
  std::string wrong;  // not empty: what is wrong with it; nothing else but the id holds
};

// A listener's new file.
struct Deposit {
  std::string id, path, name, to;
  std::optional<std::string> data;  // the content itself, instead of a path
  std::optional<std::uint64_t> size;
  bool keep = false;
  std::vector<std::pair<std::string, std::string>> tags;
  std::string wrong;  // as above
};

using Message = std::variant<Hello, Refusal, LogLine, MetricValue, Answer, Deposit>;

// Throws Malformed for a line that belongs to nothing.
Message parse_message(const std::string& line, Encoding encoding);

// ---- from the host

// A text member with a comma before it: `, "name": "value"`.
std::string member(const char* name, std::string_view value, Encoding encoding);

struct FileRequest {
  std::string id, batch;  // no batch: one file alone
  std::string path, scratch;
  std::vector<std::pair<std::string, std::string>> tags;
  std::optional<double> seconds_left;
};
std::string file_message(const FileRequest& request, Encoding encoding);
std::string batch_message(const std::string& id, const std::vector<std::string>& files,
                          std::optional<double> seconds_left);
std::string cancel_message(const std::string& id);

struct DepositReply {
  std::string id, status, reason;
  std::optional<double> retry_after;
};
std::string deposited_message(const DepositReply& reply, Encoding encoding);
std::string pressure_message(const std::string& status, double retry_after);
std::string stop_message();

}  // namespace exec_protocol
