#include "libmfdata/signature.hpp"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "libmfdata/disk.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/spool_name.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

constexpr std::size_t kMaxKeyFile = 8192;
constexpr char kAlgorithm[2] = {'E', 'd'};        // of keys, and of signatures over the file itself
constexpr char kHashedAlgorithm[2] = {'E', 'D'};  // of signatures over its BLAKE2b hash
constexpr std::string_view kComment = "untrusted comment: ";
constexpr std::string_view kTrustedComment = "trusted comment: ";
// Of the password's hash; they stand in the key file. A quarter of what minisign takes: some tenths of a second.
constexpr std::uint64_t kOperations = crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_SENSITIVE / 4;
constexpr std::uint64_t kMemory = crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_SENSITIVE / 4;
constexpr std::uint64_t kMaxMemory = std::uint64_t{2} << 30;

#pragma pack(push, 1)
struct SecretPart {
  std::uint8_t id[8];
  std::uint8_t secret[64];
  std::uint8_t checksum[32];
};
struct SecretFile {
  char algorithm[2];
  char kdf[2];
  char checksum_algorithm[2];
  std::uint8_t salt[32];
  std::uint8_t operations[8];
  std::uint8_t memory[8];
  SecretPart part;
};
struct PublicFile {
  char algorithm[2];
  std::uint8_t id[8];
  std::uint8_t key[32];
};
struct SignatureFile {
  char algorithm[2];
  std::uint8_t id[8];
  std::uint8_t signature[64];
};
#pragma pack(pop)

void ready() { check(::sodium_init() >= 0, "libsodium found no source of randomness"); }

Error bad(const std::string& path, const std::string& what) { return Error{Code::kBadData, 0, path + ": " + what}; }

std::uint64_t number_of(const std::uint8_t (&bytes)[8]) {
  std::uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | bytes[i];
  return value;
}

void set_number(std::uint8_t (&bytes)[8], std::uint64_t value) {
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(value & 0xff);
    value >>= 8;
  }
}

Result<std::vector<std::string>> lines_of(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return system_error(errno, "cannot read " + path);
  auto text = read_all(file.get(), kMaxKeyFile, path);
  if (!text) return text.error();
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    std::string line = text->substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
    at = end + 1;
  }
  return lines;
}

template <class Struct>
bool decode(const std::string& line, Struct& out) {
  std::size_t length = 0;
  return ::sodium_base642bin(reinterpret_cast<unsigned char*>(&out), sizeof out, line.data(), line.size(), nullptr, &length, nullptr,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
         length == sizeof out;
}

template <class Struct>
std::string encoded(const Struct& in) {
  std::string text(sodium_base64_ENCODED_LEN(sizeof in, sodium_base64_VARIANT_ORIGINAL), '\0');
  ::sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(&in), sizeof in, sodium_base64_VARIANT_ORIGINAL);
  text.resize(text.find('\0'));
  return text;
}

// The key files and signatures begin with a comment; what counts is the line after it.
template <class Struct>
Result<std::vector<std::string>> read_struct(const std::string& path, const char* what, Struct& out) {
  auto lines = lines_of(path);
  if (!lines) return lines;
  if (lines->size() < 2 || !(*lines)[0].starts_with(kComment) || !decode((*lines)[1], out))
    return bad(path, std::string("is no ") + what + " in minisign's format");
  return lines;
}

void checksum_of(const SecretFile& file, std::uint8_t (&checksum)[32]) {
  crypto_generichash_state state;
  ::crypto_generichash_init(&state, nullptr, 0, sizeof checksum);
  ::crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(file.algorithm), sizeof file.algorithm);
  ::crypto_generichash_update(&state, file.part.id, sizeof file.part.id);
  ::crypto_generichash_update(&state, file.part.secret, sizeof file.part.secret);
  ::crypto_generichash_final(&state, checksum, sizeof checksum);
}

// The same operation encrypts and decrypts.
Result<void> apply_password(SecretFile& file, const std::string& password, const std::string& path) {
  std::vector<std::uint8_t> stream(sizeof file.part);
  if (number_of(file.memory) > kMaxMemory) return bad(path, "its password asks for more than 2 GB of memory");
  if (::crypto_pwhash_scryptsalsa208sha256(stream.data(), stream.size(), password.data(), password.size(), file.salt, number_of(file.operations),
                                           static_cast<std::size_t>(number_of(file.memory))) != 0) {
    return Error{Code::kIo, ENOMEM, path + ": not enough memory for its password"};
  }
  auto* bytes = reinterpret_cast<std::uint8_t*>(&file.part);
  for (std::size_t i = 0; i < stream.size(); ++i) bytes[i] ^= stream[i];
  ::sodium_memzero(stream.data(), stream.size());
  return {};
}

// It appears whole.
Result<void> write_file(const std::string& path, mode_t mode, bool replace, const std::string& text) {
  const std::string fresh = path + '.' + fresh_uid();
  FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_EXCL, mode));
  if (!file) return system_error(errno, "cannot write " + path);
  auto done = write_all(file.get(), text, fresh);
  if (done) done = sync_file(file.get(), fresh);
  if (done && (replace ? ::rename(fresh.c_str(), path.c_str()) : ::link(fresh.c_str(), path.c_str())) != 0)
    done = errno == EEXIST ? Error{Code::kExists, EEXIST, path + " is there already: a key is never replaced"} : system_error(errno, "cannot write " + path);
  if (!done || !replace) ::unlink(fresh.c_str());
  return done;
}

using Hash = std::array<std::uint8_t, crypto_generichash_BYTES_MAX>;

Result<Hash> hash_of(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return system_error(errno, "cannot read " + path);
  crypto_generichash_state state;
  ::crypto_generichash_init(&state, nullptr, 0, sizeof(Hash));
  std::vector<std::uint8_t> block(1 << 16);
  ssize_t got = 0;
  while ((got = ::read(file.get(), block.data(), block.size())) > 0) ::crypto_generichash_update(&state, block.data(), static_cast<std::size_t>(got));
  if (got < 0) return system_error(errno, "cannot read " + path);
  Hash hash{};
  ::crypto_generichash_final(&state, hash.data(), hash.size());
  return hash;
}

// What the second signature covers: the first one with the trusted comment.
std::string with_comment(const SignatureFile& file, std::string_view comment) {
  return std::string(reinterpret_cast<const char*>(file.signature), sizeof file.signature) + std::string(comment);
}

const std::uint8_t* bytes_of(const std::string& text) { return reinterpret_cast<const std::uint8_t*>(text.data()); }

}  // namespace

std::string PublicKey::spell_id() const {
  std::string text;
  for (auto byte = id.rbegin(); byte != id.rend(); ++byte) {
    constexpr char kHex[] = "0123456789ABCDEF";
    text += kHex[*byte >> 4];
    text += kHex[*byte & 15];
  }
  return text;
}

Result<void> make_key_pair(const std::string& secret_path, const std::string& public_path, const std::string& password) {
  ready();
  boost::system::error_code code;
  if (fs::exists(public_path, code)) return Error{Code::kExists, EEXIST, public_path + " is there already: a key is never replaced"};
  SecretFile secret{};
  PublicFile open{};
  std::memcpy(secret.algorithm, kAlgorithm, 2);
  std::memcpy(open.algorithm, kAlgorithm, 2);
  std::memcpy(secret.checksum_algorithm, "B2", 2);
  ::crypto_sign_keypair(open.key, secret.part.secret);
  ::randombytes_buf(open.id, sizeof open.id);
  std::memcpy(secret.part.id, open.id, sizeof open.id);
  checksum_of(secret, secret.part.checksum);
  if (!password.empty()) {
    std::memcpy(secret.kdf, "Sc", 2);
    ::randombytes_buf(secret.salt, sizeof secret.salt);
    set_number(secret.operations, kOperations);
    set_number(secret.memory, kMemory);
    MFDATA_TRY(apply_password(secret, password, secret_path));
  }
  PublicKey key;
  std::copy(std::begin(open.id), std::end(open.id), key.id.begin());
  MFDATA_TRY(
      write_file(secret_path, 0600, false,
                 std::string(kComment) + (password.empty() ? "minisign secret key\n" : "minisign encrypted secret key\n") + encoded(secret) + '\n'));
  ::sodium_memzero(&secret, sizeof secret);
  auto done = write_file(public_path, 0644, false, std::string(kComment) + "minisign public key " + key.spell_id() + '\n' + encoded(open) + '\n');
  if (!done) ::unlink(secret_path.c_str());
  return done;
}

Result<PublicKey> read_public_key(const std::string& path) {
  ready();
  PublicFile file{};
  auto lines = read_struct(path, "public key", file);
  if (!lines) return lines.error();
  if (std::memcmp(file.algorithm, kAlgorithm, 2) != 0) return bad(path, "its algorithm is not known");
  PublicKey key;
  std::copy(std::begin(file.id), std::end(file.id), key.id.begin());
  std::copy(std::begin(file.key), std::end(file.key), key.bytes.begin());
  key.path = path;
  return key;
}

Result<std::vector<PublicKey>> trusted_keys(const std::string& directory) {
  std::vector<PublicKey> keys;
  boost::system::error_code code;
  std::vector<fs::path> paths;
  for (fs::directory_iterator at(directory, code), end; !code && at != end; at.increment(code)) {
    if (at->path().extension() == ".pub") paths.push_back(at->path());
  }
  if (code && code.value() != ENOENT) return system_error(code.value(), "cannot list " + directory);
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    auto key = read_public_key(path.string());
    if (!key) return key.error();
    keys.push_back(std::move(*key));
  }
  return keys;
}

Result<SecretKey> read_secret_key(const std::string& path, const std::function<Result<std::string>()>& password) {
  ready();
  SecretFile file{};
  auto lines = read_struct(path, "secret key", file);
  if (!lines) return lines.error();
  const bool encrypted = std::memcmp(file.kdf, "Sc", 2) == 0;
  if (std::memcmp(file.algorithm, kAlgorithm, 2) != 0 || std::memcmp(file.checksum_algorithm, "B2", 2) != 0 ||
      (!encrypted && (file.kdf[0] != 0 || file.kdf[1] != 0))) {
    return bad(path, "its algorithms are not known");
  }
  if (encrypted) {
    auto word = password();
    if (!word) return word.error();
    MFDATA_TRY(apply_password(file, *word, path));
  }
  std::uint8_t checksum[32];
  checksum_of(file, checksum);
  if (::sodium_memcmp(checksum, file.part.checksum, sizeof checksum) != 0) {
    return Error{Code::kRefused, 0, path + (encrypted ? ": the password is wrong" : ": the key is damaged")};
  }
  SecretKey key;
  std::copy(std::begin(file.part.id), std::end(file.part.id), key.id.begin());
  std::copy(std::begin(file.part.secret), std::end(file.part.secret), key.bytes.begin());
  ::sodium_memzero(&file, sizeof file);
  return key;
}

bool is_secret_key(const std::string& path) {
  SecretFile file;
  return bool(read_struct(path, "secret key", file));
}

Result<void> sign_file(const std::string& file, const SecretKey& key) {
  ready();
  auto hash = hash_of(file);
  if (!hash) return hash.error();
  SignatureFile signature{}, global{};
  std::memcpy(signature.algorithm, kHashedAlgorithm, 2);
  std::copy(key.id.begin(), key.id.end(), signature.id);
  ::crypto_sign_detached(signature.signature, nullptr, hash->data(), hash->size(), key.bytes.data());
  const std::string comment =
      "timestamp:" + std::to_string(::time(nullptr)) + "\tfile:" + printable(fs::path(file).filename().string(), 200) + "\thashed";
  const std::string covered = with_comment(signature, comment);
  ::crypto_sign_detached(global.signature, nullptr, bytes_of(covered), covered.size(), key.bytes.data());
  struct {
    std::uint8_t bytes[64];
  } second{};
  std::memcpy(second.bytes, global.signature, sizeof second.bytes);
  return write_file(file + ".minisig", 0644, true,
                    std::string(kComment) + "signature of a plugin package\n" + encoded(signature) + '\n' + std::string(kTrustedComment) + comment +
                        '\n' + encoded(second) + '\n');
}

Result<PublicKey> verify_file(const std::string& file, const std::string& path, const std::vector<PublicKey>& trusted) {
  ready();
  SignatureFile signature{};
  auto lines = read_struct(path, "signature", signature);
  if (!lines) return lines.error();
  struct {
    std::uint8_t bytes[64];
  } second{};
  if (lines->size() < 4 || !(*lines)[2].starts_with(kTrustedComment) || !decode((*lines)[3], second))
    return bad(path, "is no signature in minisign's format");
  const bool hashed = std::memcmp(signature.algorithm, kHashedAlgorithm, 2) == 0;
  if (!hashed) return bad(path, "it signs the file itself, not its hash: sign it again (minisign -H)");
  const auto key =
      std::find_if(trusted.begin(), trusted.end(), [&](const PublicKey& one) { return std::equal(one.id.begin(), one.id.end(), signature.id); });
  PublicKey signer;
  std::copy(std::begin(signature.id), std::end(signature.id), signer.id.begin());
  if (key == trusted.end())
    return Error{Code::kRefused, 0,
                 path + ": made with the key " + signer.spell_id() + ", which is not trusted here: put its .pub file into etc/keys if it should be"};
  auto hash = hash_of(file);
  if (!hash) return hash.error();
  if (::crypto_sign_verify_detached(signature.signature, hash->data(), hash->size(), key->bytes.data()) != 0) {
    return Error{Code::kRefused, 0, file + " is not what was signed: it was changed after that, or damaged on the way"};
  }
  const std::string covered = with_comment(signature, std::string_view((*lines)[2]).substr(kTrustedComment.size()));
  if (::crypto_sign_verify_detached(second.bytes, bytes_of(covered), covered.size(), key->bytes.data()) != 0) {
    return Error{Code::kRefused, 0, path + ": its trusted comment was changed"};
  }
  return *key;
}

}  // namespace mfdata
