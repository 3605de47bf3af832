// What the file of a shared object says of itself, read without running it (elf(5), by libelf). Foreign bytes: whatever
// is wrong with the file is an error.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libmfdata/result.hpp"

namespace mfdata {

struct ElfLibrary {
  std::string architecture;                                    // "x86_64", "aarch64", or "machine N"
  std::string build_id;                                        // hexadecimal; empty: none
  std::vector<std::string> needed;                             // DT_NEEDED
  std::vector<std::string> search_paths;                       // DT_RPATH and DT_RUNPATH
  std::map<std::string, std::vector<std::string>> versions;    // library -> symbol versions needed, sorted
  std::vector<std::string> exported;                           // defined global dynamic symbols, sorted
  bool has_text_relocations = false;

  // The newest version of a family that is needed, "2.34" of "GLIBC_"; empty: none.
  std::string newest(const std::string& family) const;
};

Result<ElfLibrary> read_elf_library(const std::string& path);

// Symbols that neither the library nor any that it names, and those name, defines: whoever loads it would have to. ldd(1) tells, in a
// process of its own.
Result<std::vector<std::string>> unresolved_symbols(const std::string& path);

}  // namespace mfdata
