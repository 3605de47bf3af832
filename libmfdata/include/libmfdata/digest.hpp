// Digests of contents, by the names of RFC 9530 and its registry: md5, sha-256, sha-384, sha-512, sha3-256, sha3-384, sha3-512. The only
// module that knows libnettle.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace mfdata {

class Digest {
 public:
  // Nothing: no such algorithm.
  static std::optional<Digest> of(std::string_view algorithm);
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  ~Digest();

  std::size_t size() const;  // of the result, in bytes
  void add(std::string_view bytes);
  std::string take();  // the digest; it begins anew

 private:
  struct State;
  explicit Digest(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// In small hexadecimal digits.
std::string hexadecimal(std::string_view bytes);

}  // namespace mfdata
