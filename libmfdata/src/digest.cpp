#include "libmfdata/digest.hpp"

#include <nettle/nettle-meta.h>

#include <array>
#include <cstddef>
#include <vector>

namespace mfdata {
namespace {

struct Algorithm {
  std::string_view name;
  const nettle_hash* hash;
};

const nettle_hash* find_hash(std::string_view algorithm) {
  static const std::array<Algorithm, 7> kAll = {{{"md5", &nettle_md5},
                                                {"sha-256", &nettle_sha256},
                                                {"sha-384", &nettle_sha384},
                                                {"sha-512", &nettle_sha512},
                                                {"sha3-256", &nettle_sha3_256},
                                                {"sha3-384", &nettle_sha3_384},
                                                {"sha3-512", &nettle_sha3_512}}};
  for (const Algorithm& one : kAll) {
    if (one.name == algorithm) return one.hash;
  }
  return nullptr;
}

}  // namespace

struct Digest::State {
  explicit State(const nettle_hash* function)
      : hash(function), context((function->context_size + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t)) {
    hash->init(context.data());
  }
  const nettle_hash* hash;
  std::vector<std::max_align_t> context;
};

Digest::Digest(std::unique_ptr<State> state) : state_(std::move(state)) {}
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;
Digest::~Digest() = default;

std::optional<Digest> Digest::of(std::string_view algorithm) {
  const nettle_hash* hash = find_hash(algorithm);
  if (!hash) return std::nullopt;
  return Digest(std::make_unique<State>(hash));
}

std::size_t Digest::size() const { return state_->hash->digest_size; }

void Digest::add(std::string_view bytes) {
  state_->hash->update(state_->context.data(), bytes.size(), reinterpret_cast<const uint8_t*>(bytes.data()));
}

std::string Digest::take() {
  std::string result(size(), '\0');
  state_->hash->digest(state_->context.data(), result.size(), reinterpret_cast<uint8_t*>(result.data()));
  return result;
}

std::string hexadecimal(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

}  // namespace mfdata
