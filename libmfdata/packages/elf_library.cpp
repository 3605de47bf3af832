#include "libmfdata/elf_library.hpp"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "libmfdata/child_process.hpp"
#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/version.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kMaxSymbols = 1'000'000, kMaxVersions = 10'000;

struct EndElf {
  void operator()(Elf* one) const { ::elf_end(one); }
};

std::string text_at(Elf* elf, std::size_t table, std::size_t offset) {
  const char* text = ::elf_strptr(elf, table, offset);
  return text ? text : "";
}

std::string architecture_of(unsigned machine) {
  switch (machine) {
    case EM_X86_64: return "x86_64";
    case EM_AARCH64: return "aarch64";
    case EM_386: return "i386";
    case EM_PPC64: return "ppc64";
    case EM_S390: return "s390x";
    case EM_RISCV: return "riscv";
    default: return "machine " + std::to_string(machine);
  }
}

void read_dynamic(Elf* elf, const GElf_Shdr& header, Elf_Data* data, ElfLibrary& out) {
  GElf_Dyn entry;
  for (int i = 0; ::gelf_getdyn(data, i, &entry) && entry.d_tag != DT_NULL; ++i) {
    if (entry.d_tag == DT_NEEDED) out.needed.push_back(text_at(elf, header.sh_link, entry.d_un.d_val));
    if (entry.d_tag == DT_RPATH || entry.d_tag == DT_RUNPATH) out.search_paths.push_back(text_at(elf, header.sh_link, entry.d_un.d_val));
    if (entry.d_tag == DT_TEXTREL || (entry.d_tag == DT_FLAGS && (entry.d_un.d_val & DF_TEXTREL) != 0)) out.has_text_relocations = true;
  }
}

void read_versions(Elf* elf, const GElf_Shdr& header, Elf_Data* data, ElfLibrary& out) {
  GElf_Verneed library;
  std::size_t at = 0, kept = 0;  // offsets only rise: a damaged file ends the loop
  while (at < data->d_size && ::gelf_getverneed(data, static_cast<int>(at), &library)) {
    std::vector<std::string>& names = out.versions[text_at(elf, header.sh_link, library.vn_file)];
    GElf_Vernaux version;
    std::size_t inner = at + library.vn_aux;
    for (unsigned i = 0;
         i < library.vn_cnt && inner < data->d_size && kept < kMaxVersions && ::gelf_getvernaux(data, static_cast<int>(inner), &version);
         ++i, ++kept) {
      names.push_back(text_at(elf, header.sh_link, version.vna_name));
      if (version.vna_next == 0) break;
      inner += version.vna_next;
    }
    std::sort(names.begin(), names.end());
    if (library.vn_next == 0 || kept >= kMaxVersions) break;
    at += library.vn_next;
  }
}

void read_symbols(Elf* elf, const GElf_Shdr& header, Elf_Data* data, ElfLibrary& out) {
  const std::size_t count = header.sh_entsize == 0 ? 0 : std::min<std::size_t>(header.sh_size / header.sh_entsize, kMaxSymbols);
  for (std::size_t i = 1; i < count; ++i) {
    GElf_Sym symbol;
    if (!::gelf_getsym(data, static_cast<int>(i), &symbol)) break;
    const unsigned bind = GELF_ST_BIND(symbol.st_info), visibility = GELF_ST_VISIBILITY(symbol.st_other);
    const bool visible = (bind == STB_GLOBAL || bind == STB_WEAK || bind == STB_GNU_UNIQUE) && visibility != STV_HIDDEN && visibility != STV_INTERNAL;
    if (visible && symbol.st_shndx != SHN_UNDEF && symbol.st_shndx != SHN_ABS) out.exported.push_back(text_at(elf, header.sh_link, symbol.st_name));
  }
  std::sort(out.exported.begin(), out.exported.end());
}

void read_notes(Elf_Data* data, ElfLibrary& out) {
  GElf_Nhdr note;
  std::size_t name = 0, description = 0;
  for (std::size_t at = 0; (at = ::gelf_getnote(data, at, &note, &name, &description)) > 0;) {
    if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4) continue;
    constexpr char kHex[] = "0123456789abcdef";
    const auto* bytes = static_cast<const unsigned char*>(data->d_buf) + description;
    for (std::size_t i = 0; i < note.n_descsz; ++i) out.build_id += {kHex[bytes[i] >> 4], kHex[bytes[i] & 15]};
  }
}

}  // namespace

std::string ElfLibrary::newest(const std::string& family) const {
  std::string newest;
  for (const auto& [library, names] : versions) {
    for (const std::string& name : names) {
      if (!name.starts_with(family)) continue;
      const std::string version = name.substr(family.size());
      if (!version.empty() && version[0] >= '0' && version[0] <= '9' && (newest.empty() || compare_versions(version, newest) > 0)) newest = version;
    }
  }
  return newest;
}

Result<ElfLibrary> read_elf_library(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return system_error(errno, "cannot read " + path);
  const auto wrong = [&](const std::string& what) { return Error{Code::kBadData, 0, path + ": " + what}; };
  if (::elf_version(EV_CURRENT) == EV_NONE) return wrong("libelf is too old");
  const std::unique_ptr<Elf, EndElf> elf(::elf_begin(file.get(), ELF_C_READ, nullptr));
  GElf_Ehdr head;
  if (!elf || ::elf_kind(elf.get()) != ELF_K_ELF || !::gelf_getehdr(elf.get(), &head)) return wrong("is no ELF file");
  if (head.e_type != ET_DYN) return wrong("is no shared object");
  ElfLibrary out;
  out.architecture = architecture_of(head.e_machine);
  bool has_symbols = false;
  for (Elf_Scn* section = nullptr; (section = ::elf_nextscn(elf.get(), section));) {
    GElf_Shdr header;
    if (!::gelf_getshdr(section, &header)) return wrong("its sections cannot be read: it is damaged");
    Elf_Data* data = header.sh_type == SHT_NOBITS ? nullptr : ::elf_getdata(section, nullptr);
    if (!data) continue;
    switch (header.sh_type) {
      case SHT_DYNAMIC: read_dynamic(elf.get(), header, data, out); break;
      case SHT_GNU_verneed: read_versions(elf.get(), header, data, out); break;
      case SHT_DYNSYM:
        read_symbols(elf.get(), header, data, out);
        has_symbols = true;
        break;
      case SHT_NOTE: read_notes(data, out); break;
      default: break;
    }
  }
  if (!has_symbols) return wrong("it has no dynamic symbols: is it stripped too far, or damaged?");
  return out;
}

// Lines such as "undefined symbol: name\t(./library.so)".
Result<std::vector<std::string>> unresolved_symbols(const std::string& path) {
  constexpr std::string_view kSays = "undefined symbol: ";
  auto ldd = run_child({"/usr/bin/ldd", "-r", path}, ChildOptions());
  if (!ldd) return ldd.error();
  if (ldd->exit_code == 127) return Error{Code::kNotFound, 0, "cannot run /usr/bin/ldd, which tells what " + path + " expects of others: install it (libc-bin)"};
  std::vector<std::string> names;
  for (std::size_t at = 0; (at = ldd->output.find(kSays, at)) != std::string::npos;) {
    at += kSays.size();
    names.push_back(ldd->output.substr(at, ldd->output.find_first_of(", \t\n", at) - at));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace mfdata
