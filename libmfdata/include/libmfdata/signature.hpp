// Signatures of packages: Ed25519 over the BLAKE2b hash of a file, in the formats of minisign, so that `minisign -Vm`
// verifies ours and we verify its (https://jedisct1.github.io/minisign/, "Minisign signature format").
//
// A key pair is two files: NAME.key (mode 0600; its secret part encrypted when there is a password) and NAME.pub. The
// signature of FILE stands in FILE.minisig. Foreign files are read with a limit; whatever is wrong with one is an error
// with its path (kBadData), and a signature that does not hold is kRefused.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "libmfdata/result.hpp"

namespace mfdata {

struct PublicKey {
  std::array<std::uint8_t, 8> id{};
  std::array<std::uint8_t, 32> bytes{};
  std::string path;  // where it was read

  std::string spell_id() const;  // as minisign prints it
};

struct SecretKey {
  std::array<std::uint8_t, 8> id{};
  std::array<std::uint8_t, 64> bytes{};
};

// An empty password: the secret key is not encrypted. Existing files are not replaced (kExists).
Result<void> make_key_pair(const std::string& secret_path, const std::string& public_path, const std::string& password);

Result<PublicKey> read_public_key(const std::string& path);
// All "*.pub" of a directory; a missing directory holds none.
Result<std::vector<PublicKey>> trusted_keys(const std::string& directory);
// `password` is asked only when the key is encrypted.
Result<SecretKey> read_secret_key(const std::string& path, const std::function<Result<std::string>()>& password);

// Whether a file looks like one, with a password or without.
bool is_secret_key(const std::string& path);

// Writes FILE.minisig, replacing one that is there.
Result<void> sign_file(const std::string& file, const SecretKey& key);
// The key that signed it. kGone: there is no such signature; kRefused: no trusted key made it, or the file was changed.
Result<PublicKey> verify_file(const std::string& file, const std::string& signature, const std::vector<PublicKey>& trusted);

}  // namespace mfdata
