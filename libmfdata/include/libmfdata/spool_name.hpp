// Identities and names inside the spool: pure, no system calls.
//
// A uid is a UUIDv7 (RFC 9562) in 32 hexadecimal digits, so that names sort by age. A file in the spool is named
// "<uid>.<gen>", with "c" after the generation when its context stands in a sidecar, and "~n" after n crashes:
// "019ab3c4d5e67f8091a2b3c4d5e6f708.3c~1". In a waiting directory "<due ms>." stands before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mfdata {

inline constexpr std::size_t kUidLength = 32;

bool valid_uid(std::string_view text);
// A new uid of this moment; two calls in one process never give the same, and the later one sorts behind.
std::string fresh_uid();
// The uid of output number `index` of what became of `parent` at `generation`: the parent's time, and a hash, so
// that a repeat of the same hop makes the same name.
std::string child_uid(std::string_view parent, std::uint64_t generation, std::uint64_t index);
// Milliseconds since 1970 in a uid.
std::int64_t uid_time_ms(std::string_view uid);

struct SpoolName {
  std::string uid;
  std::uint64_t generation = 0;
  bool sidecar = false;
  std::uint32_t crashes = 0;

  // nothing: the name is not one of ours
  static std::optional<SpoolName> parse(std::string_view filename);
  std::string spell() const;
  SpoolName without_crashes() const { return {uid, generation, sidecar, 0}; }
  bool operator==(const SpoolName&) const = default;
};

// "<due ms>.<name>" in a waiting directory.
struct WaitingName {
  std::int64_t due_ms = 0;
  SpoolName name;

  static std::optional<WaitingName> parse(std::string_view filename);
  std::string spell() const { return std::to_string(due_ms) + '.' + name.spell(); }
};

}  // namespace mfdata
