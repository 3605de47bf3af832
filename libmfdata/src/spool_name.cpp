#include "libmfdata/spool_name.hpp"

#include <sodium.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <mutex>

#include "libmfdata/result.hpp"

namespace mfdata {
namespace {

bool lower_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

void append_hex(std::string& out, std::uint64_t value, int digits) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += kHex[(value >> shift) & 15];
}

// 74 bits of `random` under the version and variant bits of a UUIDv7.
std::string spell_uid(std::uint64_t ms, std::uint64_t high, std::uint64_t low) {
  std::string uid;
  uid.reserve(kUidLength);
  append_hex(uid, ms & 0xffffffffffff, 12);
  append_hex(uid, 0x7000 | (high & 0xfff), 4);
  append_hex(uid, 0x8000000000000000 | (low & 0x3fffffffffffffff), 16);
  return uid;
}

// A number without sign, leading zero or surroundings.
template <class Number>
bool whole_number(std::string_view text, Number& value) {
  if (text.empty() || text[0] == '-' || (text.size() > 1 && text[0] == '0')) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

bool valid_uid(std::string_view text) {
  return text.size() == kUidLength && std::all_of(text.begin(), text.end(), lower_hex);
}

std::string fresh_uid() {
  // `high` counts within one millisecond, and borrows from the next one when it is full (RFC 9562, method 1).
  static std::mutex mutex;
  static std::uint64_t last = 0;
  static std::array<std::uint64_t, 64> pool;
  static std::size_t left = 0;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const auto stamp = (static_cast<std::uint64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000) << 12;
  const std::lock_guard lock(mutex);
  last = std::max(stamp, last + 1);
  if (left == 0) {
    check(sodium_init() >= 0, "libsodium found no source of randomness");
    randombytes_buf(pool.data(), sizeof pool);
    left = pool.size();
  }
  return spell_uid(last >> 12, last, pool[--left]);
}

std::string child_uid(std::string_view parent, std::uint64_t generation, std::uint64_t index) {
  static constexpr std::array<unsigned char, crypto_shorthash_siphashx24_KEYBYTES> kKey = {'m', 'f', 'd', 'a', 't', 'a'};
  std::array<unsigned char, kUidLength + 16> input{};
  std::memcpy(input.data(), parent.data(), std::min(parent.size(), kUidLength));
  std::memcpy(input.data() + kUidLength, &generation, 8);
  std::memcpy(input.data() + kUidLength + 8, &index, 8);
  std::array<std::uint64_t, 2> hash;
  crypto_shorthash_siphashx24(reinterpret_cast<unsigned char*>(hash.data()), input.data(), input.size(), kKey.data());
  return spell_uid(static_cast<std::uint64_t>(uid_time_ms(parent)), hash[0], hash[1]);
}

std::int64_t uid_time_ms(std::string_view uid) {
  std::int64_t ms = 0;
  std::from_chars(uid.data(), uid.data() + std::min<std::size_t>(uid.size(), 12), ms, 16);
  return ms;
}

std::optional<SpoolName> SpoolName::parse(std::string_view filename) {
  SpoolName name;
  if (filename.size() < kUidLength + 2 || filename[kUidLength] != '.') return std::nullopt;
  if (!valid_uid(filename.substr(0, kUidLength))) return std::nullopt;
  name.uid = filename.substr(0, kUidLength);
  filename.remove_prefix(kUidLength + 1);
  if (const std::size_t tilde = filename.find('~'); tilde != std::string_view::npos) {
    if (!whole_number(filename.substr(tilde + 1), name.crashes) || name.crashes == 0) return std::nullopt;
    filename = filename.substr(0, tilde);
  }
  if (filename.ends_with('c')) {
    name.sidecar = true;
    filename.remove_suffix(1);
  }
  if (!whole_number(filename, name.generation)) return std::nullopt;
  return name;
}

std::string SpoolName::spell() const {
  std::string text = uid;
  text += '.';
  text += std::to_string(generation);
  if (sidecar) text += 'c';
  if (crashes > 0) text += '~' + std::to_string(crashes);
  return text;
}

std::optional<WaitingName> WaitingName::parse(std::string_view filename) {
  const std::size_t dot = filename.find('.');
  WaitingName waiting;
  if (dot == std::string_view::npos || !whole_number(filename.substr(0, dot), waiting.due_ms)) return std::nullopt;
  auto name = SpoolName::parse(filename.substr(dot + 1));
  if (!name || waiting.due_ms < 0) return std::nullopt;
  waiting.name = *name;
  return waiting;
}

}  // namespace mfdata
