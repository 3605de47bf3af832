#include "libmfdata/trash.hpp"

#include <time.h>

#include <array>
#include <nlohmann/json.hpp>

namespace mfdata {
namespace {

std::string utc(std::int64_t ms) {
  const time_t seconds = ms / 1000;
  tm broken_down;
  ::gmtime_r(&seconds, &broken_down);
  std::array<char, 32> text;
  const std::size_t length = ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  return std::string(text.data(), length);
}

// JSON is UTF-8: what is not stands as the .tags files write it, with bad bytes replaced on output.
std::string dumped(const nlohmann::json& record) {
  return record.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

Result<void> place_companion(const Spool& spool, const Slot& slot, const std::string& name, const std::string& text) {
  const std::string fresh = slot.fresh() + '/' + name;
  auto written = spool.write_text(fresh, text, true);
  if (written.is(Code::kExists)) {
    MFDATA_TRY(spool.disk().unlink(fresh));
    written = spool.write_text(fresh, text, true);
  }
  MFDATA_TRY(written);
  return spool.disk().replace(fresh, layout::trash_directory(slot.step) + '/' + name);
}

bool same_file(const Disk& disk, const std::string& one, const std::string& other) {
  auto a = disk.status(one), b = disk.status(other);
  return a && b && a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

// A copy of the job under a uid that nobody has; its context says so too.
Result<Job> with_fresh_uid(const Spool& spool, const Job& job) {
  Job fresh;
  fresh.name = job.name;
  fresh.path = job.path;
  fresh.status = job.status;
  fresh.context = job.context;
  fresh.name.uid = fresh_uid();
  if (job.context.uid.empty()) return fresh;  // it has none
  fresh.context.uid = fresh.name.uid;
  if (job.name.sidecar) {
    MFDATA_TRY(spool.write_sidecar(layout::sidecar(fresh.name.uid), fresh.context));
    return fresh;
  }
  if ((job.status.st_mode & 0600) != 0600) MFDATA_TRY(spool.disk().make_writable(job.path, job.status.st_mode));  // to tag it
  auto file = spool.disk().open_file(job.path);
  if (!file) return file.error();
  MFDATA_TRY(set_tags_attribute(file->get(), encode(fresh.context), job.path));
  return fresh;
}

}  // namespace

std::string trash_record(const Slot& slot, const Job& job, const TrashNote& note) {
  const TagSet& tags = note.tags ? *note.tags : job.context.tags;
  const std::size_t dot = slot.step.find('.');
  nlohmann::json record;
  record["uid"] = job.name.uid;
  record["plugin"] = slot.step.substr(0, dot);
  record["step"] = slot.step.substr(dot + 1);
  record["version"] = note.plugin_version;
  record["reason"] = note.reason;
  record["error"] = note.text;
  record["attempts"] = note.attempts;
  record["arrived"] = utc(uid_time_ms(job.name.uid));
  record["trashed"] = utc(static_cast<std::int64_t>(::time(nullptr)) * 1000);
  record["size"] = static_cast<std::uint64_t>(job.status.st_size);
  const auto original = tags.get("first.core.original_basename");
  record["original_name"] = original.value_or("");
  record["tags"] = nlohmann::json::object();
  for (const auto& [name, value] : tags) record["tags"][std::string(name)] = value;
  return dumped(record);
}

Result<void> trash(const Spool& spool, const Slot& slot, const Job& job, const TrashNote& note) {
  const TagSet& tags = note.tags ? *note.tags : job.context.tags;
  if (!spool.disk().exists(layout::trash_directory(slot.step))) {  // somebody emptied the trash with rm -r
    MFDATA_TRY(spool.disk().ensure_directory(layout::trash_directory(slot.step)));
  }
  const std::string place = layout::trash_directory(slot.step) + '/' + job.name.without_crashes().spell();
  if (spool.disk().exists(place)) {  // its note stays that of the file which has the name
    if (same_file(spool.disk(), job.path, place)) return spool.disk().unlink(job.path);
    auto fresh = with_fresh_uid(spool, job);
    return fresh ? trash(spool, slot, *fresh, note) : fresh.error();
  }
  MFDATA_TRY(place_companion(spool, slot, job.name.uid + ".json", trash_record(slot, job, note)));
  MFDATA_TRY(place_companion(spool, slot, job.name.uid + ".tags", tags_file_text(tags)));
  const std::string directory = layout::trash_directory(slot.step);
  MFDATA_TRY(spool.disk().rename(job.path, directory + '/' + job.name.without_crashes().spell()));
  if (spool.forces_hops()) MFDATA_TRY(spool.disk().sync(directory));
  return {};
}

Result<bool> set_aside(const Spool& spool, const Slot& slot, const Job& job, const std::string& taken) {
  if (same_file(spool.disk(), job.path, taken)) {
    MFDATA_TRY(spool.disk().unlink(job.path));
    return false;
  }
  TrashNote note;
  note.reason = kNameTaken;
  note.text = "another file stands under its name, " + taken + ": this one was in the hands of a worker that ended";
  MFDATA_TRY(trash(spool, slot, job, note));
  return true;
}

}  // namespace mfdata
