#include "libmfdata/spool.hpp"

#include <cstdlib>
#include <string_view>

namespace mfdata {

Result<Durability> parse_durability(const std::string& text) {
  if (text == "process") return Durability::kProcess;
  if (text == "accepted") return Durability::kAccepted;
  if (text == "every-hop") return Durability::kEveryHop;
  return Error{Code::kBadConfig, 0, '"' + text + "\" is no durability: process, accepted or every-hop"};
}

const char* name_of(Protection protection) {
  switch (protection) {
    case Protection::kContextLast: return "context_last";
    case Protection::kSweepFirst: return "sweep_first";
    case Protection::kRollAtDeath: return "no_roll_at_death";
    case Protection::kSharedAttribute: return "shared_attribute";
    case Protection::kUid: return "no_uid";
    case Protection::kFsync: return "no_fsync";
    case Protection::kSizeCheck: return "no_size_check";
    case Protection::kNoReplace: return "replace";
    case Protection::kRecovery: return "no_recovery";
    case Protection::kGeneration: return "no_generation";
    case Protection::kCount: break;
  }
  return "";
}

static std::uint32_t removed_protections() {
  const char* value = std::getenv("MFDATA_TEST_WITHOUT");
  const std::string list = value ? ',' + std::string(value) + ',' : "";
  std::uint32_t removed = 0;
  for (unsigned i = 0; i < static_cast<unsigned>(Protection::kCount); ++i) {
    if (list.find(',' + std::string(name_of(static_cast<Protection>(i))) + ',') != std::string::npos) {
      removed |= std::uint32_t{1} << i;
    }
  }
  return removed;
}

Result<Spool> Spool::open(const std::string& data_dir, Durability durability) {
  auto disk = Disk::open(data_dir);
  if (!disk) return disk.error();
  Spool spool(std::move(*disk), durability);
  spool.removed_ = removed_protections();
  return spool;
}

Result<void> Spool::prepare() const {
  for (const char* directory : {layout::kCommit, layout::kAccept, layout::kSidecars, layout::kKeys, "trash"}) {
    MFDATA_TRY(disk_.ensure_directory(directory));
  }
  return {};
}

Result<void> Spool::prepare_step(const std::string& step) const {
  for (const std::string& directory :
       {layout::step_directory(step), layout::waiting_directory(step), layout::trash_directory(step)}) {
    MFDATA_TRY(disk_.ensure_directory(directory));
  }
  return {};
}

Result<void> Spool::prepare_slot(const Slot& slot) const {
  for (const std::string& directory : {slot.in(), slot.fresh(), slot.out(), slot.scratch()}) {
    MFDATA_TRY(disk_.ensure_directory(directory));
  }
  return {};
}

Result<Context> Spool::context_of(int file, const SpoolName& name, const std::string& path) const {
  Result<std::string> text = std::string();
  if (name.sidecar) {
    auto sidecar = disk_.open_file(layout::sidecar(name.uid));
    if (!sidecar) return sidecar.error();
    text = read_all(sidecar->get(), kMaxContextText, layout::sidecar(name.uid));
  } else {
    text = get_tags_attribute(file, path);
  }
  if (!text) return text.error();
  auto context = decode(*text);
  if (context && context->uid != name.uid && !off(Protection::kUid)) {
    return Error{Code::kGone, 0, "the context of " + path + " is that of another file, " + context->uid};
  }
  return context;
}

Result<void> Spool::write_sidecar(const std::string& path, const Context& context) const {
  return write_text(path, encode(context), false);
}

Result<FileDescriptor> Spool::create_text(const std::string& path, const std::string& text) const {
  auto file = disk_.create_anew(path);
  if (!file) return file;
  auto written = write_all(file->get(), text, path);
  if (written) return file;
  (void)disk_.unlink(path);  // on a full disk it would stand in the way of the next attempt
  return written.error();
}

Result<void> Spool::write_text(const std::string& path, const std::string& text, bool companion) const {
  auto file = create_text(path, text);
  if (!file) return file.error();
  if (!forces_text(companion)) return {};
  auto forced = sync_file(file->get(), path);
  if (!forced) (void)disk_.unlink(path);
  return forced;
}

}  // namespace mfdata
