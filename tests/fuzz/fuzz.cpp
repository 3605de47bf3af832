// Fuzz targets for every decoder of foreign bytes, one program for each value of FUZZ_TARGET. What is decoded is
// encoded and decoded again: it must come out the same.
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "libmfdata/config_rules.hpp"
#include "libmfdata/context.hpp"
#include "libmfdata/elf_library.hpp"
#include "libmfdata/package.hpp"
#include "libmfdata/signature.hpp"
#include "libmfdata/spool_name.hpp"
#include "libmfdata/toml_reader.hpp"
#include "wire/worker_protocol.hpp"

using namespace mfdata;

static void context(std::string_view bytes) {
  if (auto first = decode(bytes)) {
    auto second = decode(encode(*first));
    check(second && *second == *first, "a context does not read back");
  }
  if (auto tags = parse_tags_file(bytes)) {
    auto again = parse_tags_file(tags_file_text(*tags));
    check(again && *again == *tags, "a .tags file does not read back");
  }
}

static void name(std::string_view bytes) {
  if (auto first = SpoolName::parse(bytes)) check(first->spell() == bytes, "a spool name does not read back");
  if (auto first = WaitingName::parse(bytes)) check(first->spell() == bytes, "a waiting name does not read back");
}

static void protocol(std::string_view bytes) {
  if (auto message = wire::decode(bytes)) check(bool(wire::decode(wire::encode(*message))), "a message does not read back");
}

static void config(std::string_view bytes) {
  auto value = parse_toml(std::string(bytes), "fuzz.toml");
  if (!value) return;
  for (const ConfigFile file : {ConfigFile::kMfdata, ConfigFile::kPlugin}) {
    Problems problems;
    check_rules(*value, file, problems);
    for (const Problem& problem : problems) check(problem.spell().size() < 8192, "a message without bound");
  }
  (void)merge_layers({*value}, "PROD_PARIS");
}

// A file with these bytes, of this process.
static std::string file_of(std::string_view bytes, const char* name) {
  static const std::string directory = [] {
    const std::string made = "fuzz-files-" + std::to_string(::getpid());
    boost::filesystem::create_directories(made);
    return made;
  }();
  std::ofstream(directory + '/' + name, std::ios::binary) << bytes;
  return directory + '/' + name;
}

static void package(std::string_view bytes) {
  const std::string path = file_of(bytes, "x-1.mfplugin"), into = path + ".d";
  boost::filesystem::create_directories(into);
  if (auto manifest = unpack(path, into)) {
    for (const PackagedFile& file : manifest->files) check(boost::filesystem::file_size(into + '/' + file.path) == file.size, "a file is not of its size");
  }
  boost::filesystem::remove_all(into);
}

// The same bytes as a signature, as a public and as a secret key.
static void signature(std::string_view bytes) {
  const std::string path = file_of(bytes, "x.minisig"), signed_file = file_of("content", "x");
  auto key = read_public_key(path);
  check(!verify_file(signed_file, path, key ? std::vector<PublicKey>{*key} : std::vector<PublicKey>()), "a signature that nobody made");
  if (auto secret = read_secret_key(path, [] { return Error{Code::kNotFound, 0, "no password"}; })) check(bool(sign_file(signed_file, *secret)), "a key that does not sign");
}

static void elf(std::string_view bytes) { (void)read_elf_library(file_of(bytes, "x.so")); }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
