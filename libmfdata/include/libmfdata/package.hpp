// A package, NAME-VERSION.mfplugin: a tar.gz of a plugin folder that begins with manifest.json, which names every file
// with its size and SHA-256. The same folder always makes the same bytes.
//
// Whoever sends a package is not trusted: reading is bounded (20 000 files, 2 GB, a ratio of 200), only regular files
// and directories with plain relative ASCII names are taken, and what the manifest does not name, or names otherwise, is
// refused with the name of the entry. Nothing is written outside of the directory that the caller gives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libmfdata/result.hpp"

namespace mfdata {

struct PackagedFile {
  std::string path;  // relative
  std::uint64_t size = 0;
  std::string sha256;  // hexadecimal
  bool executable = false;
};

struct PackageManifest {
  std::string name, version, summary, license, maintainer, url;
  std::string architecture;  // of the library: "x86_64"
  std::string glibc;         // the oldest that it runs with: "2.34"
  std::string base;          // by whose library it runs: then it has none, and what is said of one is empty; empty: by its own
  unsigned abi_major = 0, abi_minor = 0, need_minor = 0;
  std::vector<std::string> components;  // "step main"
  std::vector<PackagedFile> files;      // by path

  std::string file_name() const { return name + '-' + version + ".mfplugin"; }
  std::string spell() const;  // as JSON
};

// The files of a plugin folder that belong into a package, sorted: no hidden names, nothing that .releaseignore names
// (patterns as in .gitignore), no build trees (build*/, target/, __pycache__/, *.p/, *.o), packages and signatures. An error for a
// secret key, and for what is neither file nor directory.
Result<std::vector<PackagedFile>> files_of_folder(const std::string& folder);

// Writes `directory`/NAME-VERSION.mfplugin with the files of the folder; its path. It appears in one rename.
Result<std::string> write_package(const std::string& folder, const PackageManifest& manifest, const std::string& directory);

// The manifest alone. The files are not looked at.
Result<PackageManifest> read_manifest(const std::string& package);

// That of an installed plugin's folder. kGone: it keeps none, as a folder that is developed does not.
Result<PackageManifest> installed_manifest(const std::string& folder);

// Checks everything, and writes the files into `into` (which is there, and empty); each is forced to disk.
Result<PackageManifest> unpack(const std::string& package, const std::string& into);

Result<std::string> sha256_of(const std::string& path);

}  // namespace mfdata
