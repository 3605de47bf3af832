#include "libmfdata/trashed_file.hpp"

#include <algorithm>

namespace mfdata {
namespace {

constexpr std::size_t kMaxNote = std::size_t{1} << 20;

std::string directory_of_trash(const TrashedFile& file) { return layout::trash_directory(file.step) + '/'; }

// A file on its way out of the trash, and its companions, have names that no trash move makes: a step that fails it again
// at once writes companions of its own.
std::string leaving(const std::string& name) { return std::string(layout::kLeavingTrash) + name; }

Result<void> remove_companions(const Spool& spool, const TrashedFile& file, bool leaves) {
  for (const char* suffix : {".json", ".tags"}) {
    const std::string name = file.name.uid + suffix;
    auto removed = spool.disk().unlink(directory_of_trash(file) + (leaves ? leaving(name) : name));
    if (!removed && !removed.is(Code::kGone)) return removed;
  }
  return {};
}

// The note as it is; nothing where it is missing or cannot be read: the file is shown all the same.
std::string note_of(const Spool& spool, const TrashedFile& file) {
  const std::string name = file.name.uid + ".json";
  auto note = spool.disk().open_file(directory_of_trash(file) + name);
  if (!note) note = spool.disk().open_file(directory_of_trash(file) + leaving(name));
  if (!note) return "";
  auto text = read_all(note->get(), kMaxNote, file.path);
  return text ? *text : "";
}

// The file first: who has it is who retries it.
Result<void> take_out(const Spool& spool, const TrashedFile& file, const std::string& path) {
  if (file.path != path) MFDATA_TRY(spool.disk().rename(file.path, path));
  for (const char* suffix : {".json", ".tags"}) {
    const std::string name = file.name.uid + suffix;
    auto moved = spool.disk().replace(directory_of_trash(file) + name, directory_of_trash(file) + leaving(name));
    if (!moved && !moved.is(Code::kGone)) return moved;
  }
  return {};
}

Result<void> write_context(const Spool& spool, const TrashedFile& file, int content, const Context& context) {
  if (!file.name.sidecar) {
    MFDATA_TRY(set_tags_attribute(content, encode(context), file.path));
    return spool.forces_hops() ? sync_file(content, file.path) : Result<void>();
  }
  const std::string fresh = directory_of_trash(file) + leaving(file.name.uid + ".context");
  MFDATA_TRY(spool.write_sidecar(fresh, context));
  return spool.disk().replace(fresh, layout::sidecar(file.name.uid));
}

}  // namespace

Result<std::vector<TrashedFile>> trashed_files(const Spool& spool) {
  std::vector<TrashedFile> all;
  auto steps = spool.disk().list("trash");
  if (!steps) return steps.error();
  for (const std::string& step : *steps) {
    auto names = spool.disk().list("trash/" + step);
    if (!names) return names.error();
    for (const std::string& entry : *names) {
      const auto name = SpoolName::parse(layout::name_in_trash(entry));
      if (!name) continue;
      TrashedFile file{step, *name, "trash/" + step + '/' + entry, ""};
      file.note = note_of(spool, file);
      all.push_back(std::move(file));
    }
  }
  std::sort(all.begin(), all.end(), [](const TrashedFile& a, const TrashedFile& b) { return a.name.uid < b.name.uid; });
  return all;
}

Result<void> retry_trashed(const Spool& spool, const TrashedFile& file, bool forget_hops) {
  auto content = spool.disk().open_file(file.path);
  if (!content) return content.error();
  struct stat status {};
  if (::fstat(content->get(), &status) != 0) return system_error(errno, "cannot look at " + file.path);
  auto context = spool.context_of(content->get(), file.name, file.path);
  if (!context || context->generation != file.name.generation || context->size != static_cast<std::uint64_t>(status.st_size)) {
    return Error{Code::kRefused, 0, file.path + ": its tags or its content are lost; inject what is left of it as a new file"};
  }
  context->tags.erase("latest." + file.step + "_reinject.attempt");
  if (forget_hops) context->tags.erase("latest.core.step_counter");
  const std::string path = directory_of_trash(file) + leaving(file.name.spell());
  MFDATA_TRY(take_out(spool, file, path));                              // 1, 2
  MFDATA_TRY(write_context(spool, file, content->get(), *context));     // 3
  const std::string directory = layout::step_directory(file.step);
  MFDATA_TRY(spool.disk().ensure_directory(directory));
  MFDATA_TRY(spool.disk().rename(path, directory + '/' + file.name.without_crashes().spell()));  // 4: COMMIT
  if (spool.forces_hops()) MFDATA_TRY(spool.disk().sync(directory));
  return remove_companions(spool, file, true);                          // 5
}

Result<void> purge_trashed(const Spool& spool, const TrashedFile& file) {
  MFDATA_TRY(spool.disk().unlink(file.path));
  if (file.name.sidecar) {
    auto removed = spool.disk().unlink(layout::sidecar(file.name.uid));
    if (!removed && !removed.is(Code::kGone)) return removed;
  }
  MFDATA_TRY(remove_companions(spool, file, true));
  return remove_companions(spool, file, false);
}

}  // namespace mfdata
