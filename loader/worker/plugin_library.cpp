#include "worker/plugin_library.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/dll/shared_library.hpp>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "libmfdata/file_descriptor.hpp"
#include "worker/callback.hpp"
#include "worker/least_sizes.hpp"

namespace mfdata {
namespace {

constexpr const char* kEntry = "mfdata_plugin_v1";

Error refused(const std::string& library, const std::string& why) {
  return Error{Code::kRefused, 0, "plugin library " + library + " is refused: " + why};
}

std::size_t least_table(int kind) { return kind == MFDATA_KIND_STEP ? kLeastStep : kind == MFDATA_KIND_LISTENER ? kLeastListener : kLeastPredicate; }

std::uint32_t size_of(const void* table) {
  std::uint32_t size = 0;
  std::memcpy(&size, table, sizeof size);
  return size;
}

// A table as the host knows it, from one that the plugin filled as far as its own struct_size.
template <class Table>
Table copied(const void* from) {
  Table table{};
  const std::uint32_t size = size_of(from);
  std::memcpy(&table, from, std::min<std::size_t>(size, sizeof table));
  return table;
}

bool known_kind(int kind) { return kind >= MFDATA_KIND_STEP && kind <= MFDATA_KIND_PREDICATE; }

// The loader of the system maps a file that is cut off without a word, and dies of SIGBUS when it touches what is not
// there. elf(5): each segment has to lie inside the file.
Result<void> check_whole(const std::string& library) {
  FileDescriptor file(::open(library.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st;
  if (!file || ::fstat(file.get(), &st) != 0) return system_error(errno, "cannot read plugin library " + library);
  const auto size = static_cast<std::uint64_t>(st.st_size);
  Elf64_Ehdr header;
  if (::pread(file.get(), &header, sizeof header, 0) != sizeof header || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return refused(library, "it is no ELF file");
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    const auto at = static_cast<off_t>(header.e_phoff + i * sizeof segment);
    const bool read = ::pread(file.get(), &segment, sizeof segment, at) == sizeof segment;
    if (!read || segment.p_offset > size || segment.p_filesz > size - segment.p_offset) {
      return refused(library, "it is cut off: copy it again");
    }
  }
  return {};
}

const char* kind_name(int kind) {
  switch (kind) {
    case MFDATA_KIND_STEP: return "step";
    case MFDATA_KIND_LISTENER: return "listener";
    case MFDATA_KIND_PREDICATE: return "predicate";
    default: return "component";
  }
}

}  // namespace

Result<void> check_description(const std::string& library, const mfdata_plugin* plugin) {
  if (!plugin) return refused(library, "its entry point returned nothing");
  if (plugin->abi_major != MFDATA_ABI_MAJOR) {
    return refused(library, "it is built for ABI " + std::to_string(plugin->abi_major) + ", this host offers " +
                                std::to_string(MFDATA_ABI_MAJOR) + ": rebuild it against this SDK");
  }
  if (plugin->need_minor > kHostAbiMinor) {
    return refused(library, "it needs ABI 1." + std::to_string(plugin->need_minor) + ", this host offers 1." +
                                std::to_string(kHostAbiMinor) + ": upgrade mfdata, or build it for this one");
  }
  if (plugin->struct_size < kLeastPlugin) return refused(library, "its description is too short");
  if (!plugin->id || !plugin->version || !plugin->components) return refused(library, "its description is incomplete");
  for (std::uint32_t i = 0; i < plugin->n_components; ++i) {
    const mfdata_component* component = plugin->components[i];
    if (component && !known_kind(component->kind)) continue;  // what it has, or lacks, means nothing to this host
    if (!component || component->struct_size < kLeastComponent || !component->id || !component->table) {
      return refused(library, "component number " + std::to_string(i) + " of its description is incomplete");
    }
    if (size_of(component->table) < least_table(component->kind)) {
      return refused(library, "the table of component number " + std::to_string(i) + " is shorter than in 1.0: it is built for an earlier release candidate, or its struct_size is not its sizeof; build it again");
    }
  }
  return {};
}

// Whoever owns the program that runs can do by it whatever a library could: plugins that came with it belong to the same user.
static uid_t owner_of_program() {
  struct stat st;
  return ::stat("/proc/self/exe", &st) == 0 ? st.st_uid : 0;
}

Result<void> check_ownership(const std::string& library, unsigned owner) {
  for (const std::string& path : {library, library.substr(0, library.rfind('/'))}) {
    struct stat st;
    if (::stat(path.c_str(), &st) != 0) return system_error(errno, "cannot look at " + path);
    if (st.st_uid != 0 && st.st_uid != owner && st.st_uid != owner_of_program()) {
      return refused(library, path + " belongs to user " + std::to_string(st.st_uid) + ", not to root or the owner of the home");
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
      return refused(library, path + " is writable by others: chmod go-w " + path);
    }
  }
  return {};
}

Result<const mfdata_plugin*> load_plugin(const std::string& library, unsigned owner) {
  MFDATA_TRY(check_ownership(library, owner));
  return load_own_plugin(library);
}

Result<const mfdata_plugin*> load_own_plugin(const std::string& library) {
  MFDATA_TRY(check_whole(library));
  constexpr auto mode = static_cast<boost::dll::load_mode::type>(RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  try {
    const ForkGuard guard("the loading of its library");
    const boost::dll::shared_library object(boost::filesystem::path(library), mode);
    if (!object.has(kEntry)) {
      return refused(library, std::string("it has no entry point ") + kEntry + ": it is no plugin, or hides its export");
    }
    const mfdata_plugin* plugin = object.get<const mfdata_plugin*()>(kEntry)();
    MFDATA_TRY(check_description(library, plugin));
    return plugin;
  } catch (const boost::system::system_error& error) {
    return refused(library, std::string(error.what()).substr(0, 500));
  }
}

Result<const mfdata_component*> find_component(const mfdata_plugin* plugin, int kind, const std::string& id) {
  std::string known;
  for (std::uint32_t i = 0; i < plugin->n_components; ++i) {
    const mfdata_component* component = plugin->components[i];
    if (component->kind == kind && component->id == id) return component;
    if (component->kind == kind) known += std::string(known.empty() ? "" : ", ") + component->id;
  }
  return Error{Code::kNotFound, 0,
               std::string("the library has no ") + kind_name(kind) + " \"" + id + "\"" +
                   (known.empty() ? "" : "; it has: " + known) + ". Name one with the key component"};
}

mfdata_step step_table(const mfdata_component* component) { return copied<mfdata_step>(component->table); }
mfdata_listener listener_table(const mfdata_component* component) { return copied<mfdata_listener>(component->table); }
mfdata_predicate predicate_table(const mfdata_component* component) { return copied<mfdata_predicate>(component->table); }

}  // namespace mfdata
