#include "libmfdata/transaction.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "libmfdata/delivery.hpp"
#include "libmfdata/foreign_arrival.hpp"

namespace mfdata {
namespace {

constexpr std::string_view kContextSuffix = ".context";

bool is_companion(std::string_view name) { return name.ends_with(".json") || name.ends_with(".tags"); }

// "trash/P.S" as one name of a directory, and back.
std::string folded(std::string directory) {
  if (directory.starts_with("trash/")) directory.replace(5, 1, "%2F");
  return directory;
}
std::string unfolded(std::string name) {
  if (name.starts_with("trash%2F")) name.replace(5, 3, "/");
  return name;
}

std::string staged_path(const std::string& base, const Output& output) {
  return base + "/out/" + folded(output.directory) + '/' + output.filename;
}

// A copy of an input becomes a new file of the slot.
Result<std::string> copy_input(const Spool& spool, const Slot& slot, const Output& output) {
  const std::string path = slot.out() + "/copy-" + output.filename;
  auto source = spool.disk().open_file(output.path);
  if (!source) return source.error();
  auto copy = spool.disk().create_anew(path);
  if (!copy) return copy.error();
  auto copied = copy_content(source->get(), copy->get(), path);
  if (copied) return path;
  (void)spool.disk().unlink(path);
  return copied.error();
}

// Makes the parts of a transaction. All is made first, then forced together (their blocks are allotted before the first
// fsync, so that one commit of the filesystem's journal serves them all), and only then do new inodes get their names.
class Staging {
 public:
  Staging(const Spool& spool, const Slot& slot, std::string base) : spool_(spool), slot_(slot), base_(std::move(base)) {}
  // What did not get its name: nobody will ask for it, and it may be what fills the disk.
  ~Staging() {
    for (const Made& made : waiting_) {
      if (!made.place.empty()) (void)spool_.disk().unlink(made.path);
    }
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  Result<void> add(Output& output) {
    const std::string directory = base_ + "/out/" + folded(output.directory);
    if (directories_.insert(directory).second) MFDATA_TRY(spool_.disk().make_directory(directory));
    MFDATA_TRY(make(output));
    return waiting_.size() < forced_together() ? Result<void>() : finish();
  }

  Result<void> finish() {
    const auto forced = [](const Made& made) { return made.force; };
    if (std::count_if(waiting_.begin(), waiting_.end(), forced) > 1) {
      for (const Made& made : waiting_) {
        if (made.force) start_writing(made.file.get());
      }
    }
    for (const Made& made : waiting_) {
      if (made.force) MFDATA_TRY(sync_file(made.file.get(), made.path));
    }
    for (const Made& made : waiting_) {
      if (!made.place.empty()) MFDATA_TRY(spool_.disk().rename(made.path, made.place));
    }
    waiting_.clear();
    return {};
  }

 private:
  struct Made {
    FileDescriptor file;  // of what is to be forced
    std::string path;
    std::string place;  // its name in the transaction; empty: it has it already
    bool force = false;
  };

  // Each is open until then.
  static std::size_t forced_together() {
    static const std::size_t number = [] {
      rlimit limit{};
      const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
      return std::clamp<std::size_t>(known ? limit.rlim_cur / 16 : 64, 1, 64);
    }();
    return number;
  }

  Result<void> make(Output& output) {
    switch (output.content) {
      case Output::Content::kCopy: {
        auto copied = copy_input(spool_, slot_, output);
        if (!copied) return copied.error();
        output.path = *copied;
        return make_new(output);
      }
      case Output::Content::kNew: return make_new(output);
      case Output::Content::kInput: return make_link(output);
      case Output::Content::kText: return make_text(staged_path(base_, output), output.text, is_companion(output.filename));
    }
    return {};
  }

  Result<void> make_new(Output& output) {
    auto file = spool_.disk().open_file(output.path);
    auto tagged = file ? tag_new(output, file->get()) : Result<void>(file.error());
    if (!tagged) {
      (void)spool_.disk().unlink(output.path);
      return tagged;
    }
    const bool force = spool_.forces_inodes();
    waiting_.push_back({force ? std::move(*file) : FileDescriptor(), output.path, staged_path(base_, output), force});
    return {};
  }

  // Its attribute, or a sidecar: then its name gets the "c".
  Result<void> tag_new(Output& output, int file) {
    if (!output.context) return {};
    if (output.directory == kDeliver) return tag_delivered(file, *output.context, output.path);
    auto tagged = set_tags_attribute(file, encode(*output.context), output.path);
    if (!tagged.is(Code::kAttribute)) return tagged;
    auto name = SpoolName::parse(output.filename);
    check(name.has_value(), "an output of the spool has no spool name");
    name->sidecar = true;
    output.filename = name->spell();
    return make_sidecar(*output.context);
  }

  Result<void> make_link(const Output& output) {
    const std::string staged = staged_path(base_, output);
    MFDATA_TRY(spool_.disk().link(output.path, staged));
    if (!output.context || output.directory == kDeliver) return {};
    if (!spool_.off(Protection::kSharedAttribute)) return make_sidecar(*output.context);
    auto file = spool_.disk().open_file(staged);
    return file ? set_tags_attribute(file->get(), encode(*output.context), staged) : file.error();
  }

  Result<void> make_sidecar(const Context& context) {
    return make_text(base_ + "/context/" + context.uid, encode(context), false);
  }

  Result<void> make_text(const std::string& path, const std::string& text, bool companion) {
    auto file = spool_.create_text(path, text);
    if (!file) return file.error();
    if (spool_.forces_text(companion)) waiting_.push_back({std::move(*file), path, "", true});
    return {};
  }

  const Spool& spool_;
  const Slot& slot_;
  const std::string base_;
  std::set<std::string> directories_;
  std::vector<Made> waiting_;
};

// A uid that nobody has, in its name and in its context: the attribute, or the text beside a shared inode.
Result<void> rename_context(const Spool& spool, Job& job, const std::string& beside) {
  job.name.uid = job.context.uid = fresh_uid();
  if (job.name.sidecar) {
    MFDATA_TRY(spool.disk().unlink(beside));
    return spool.write_sidecar(beside, job.context);
  }
  if (job.context.generation == 0) return {};  // a lost context: it has none
  auto file = spool.disk().open_file(job.path);
  return file ? set_tags_attribute(file->get(), encode(job.context), job.path) : file.error();
}

// A delivery that nobody takes, or whose context is lost: to the trash of the step whose transaction this is.
Result<void> trash_staged(const Spool& spool, const std::string& id, const std::string& staged, const Context& context,
                          const std::string& reason, const std::string& text) {
  Slot slot;
  slot.step = id.substr(0, id.find('.', id.find('.') + 1));
  auto status = spool.disk().status(staged);
  if (!status) return status.error();
  const std::string directory = layout::trash_directory(slot.step);
  MFDATA_TRY(spool.disk().ensure_directory(directory));
  const std::string beside = staged + std::string(kContextSuffix);  // of a shared inode
  const bool shared = context.generation > 0 && spool.disk().exists(beside);
  Job job;
  job.name = {context.uid, context.generation, shared, 0};
  job.path = staged;
  job.context = context;
  job.status = *status;
  if (auto there = spool.disk().status(directory + '/' + job.name.spell())) {  // trash has the uid already
    if (there->st_ino == status->st_ino && there->st_dev == status->st_dev) return spool.disk().unlink(staged);
    MFDATA_TRY(rename_context(spool, job, beside));
  }
  TrashNote note;
  note.reason = reason;
  note.text = text;
  for (const auto& [suffix, content] : {std::pair<std::string, std::string>(".json", trash_record(slot, job, note)),
                                        std::pair<std::string, std::string>(".tags", tags_file_text(context.tags))}) {
    const std::string fresh = layout::commit(id) + '/' + job.name.uid + suffix;
    (void)spool.disk().unlink(fresh);
    MFDATA_TRY(spool.write_text(fresh, content, true));
    MFDATA_TRY(spool.disk().replace(fresh, directory + '/' + job.name.uid + suffix));
  }
  if (shared) MFDATA_TRY(spool.disk().replace(beside, layout::sidecar(job.name.uid)));
  return spool.disk().rename(staged, directory + '/' + job.name.spell());
}

// The context of a staged delivery: beside it where its inode is shared, else its attribute.
Result<Context> context_of_delivery(const Spool& spool, const std::string& staged) {
  auto beside = spool.disk().open_file(staged + std::string(kContextSuffix));
  Result<std::string> text = std::string();
  if (beside) {
    text = read_all(beside->get(), kMaxContextText, staged);
  } else {
    auto file = spool.disk().open_file(staged);
    if (!file) return file.error();
    text = get_tags_attribute(file->get(), staged);
  }
  if (!text) return text.error();
  return decode(*text);
}

// To where its context says, on this filesystem or another one.
Result<void> place_delivery(const Spool& spool, const std::string& staged, const Context& context, FarPlaces& places) {
  const Disk& disk = spool.disk();
  const std::string companion = disk.exists(staged + ".tags") ? staged + ".tags" : "";
  auto file = disk.open_file(staged);
  if (!file) return file.error();
  if (!context.style.drop_tags) MFDATA_TRY(apply_mode(disk, staged, context.style));
  if (!companion.empty()) MFDATA_TRY(apply_mode(disk, companion, context.style));
  auto placed = deliver(spool, staged, companion, context);
  if (placed && context.style.drop_tags) drop_tags_and_set_mode(file->get(), context.style);
  return placed.is(Code::kForeign) ? deliver_far(spool, staged, context, places) : placed;
}

Result<void> publish_delivery(const Spool& spool, const std::string& id, const std::string& staged, FarPlaces& places) {
  auto context = context_of_delivery(spool, staged);
  if (context.is(Code::kBadData) || (context.is(Code::kGone) && spool.disk().exists(staged))) {
    Context lost;
    lost.uid = basename_of(staged);
    return trash_staged(spool, id, staged, lost, "context missing", "a power cut lost where it was to be delivered");
  }
  if (!context) return context.error();
  auto status = spool.disk().status(staged);
  if (!status) return status.error();
  if (static_cast<std::uint64_t>(status->st_size) != context->size && !spool.off(Protection::kSizeCheck)) {
    return trash_staged(spool, id, staged, *context, "emptied", "a power cut lost its content before it was delivered");
  }
  auto placed = place_delivery(spool, staged, *context, places);
  if (placed) return placed;
  const Error error = delivery_error(placed.error());
  if (error.code == Code::kNoSpace || error.code == Code::kDestination) return error;  // it waits
  return trash_staged(spool, id, staged, *context, "no target", error.text);
}

// Somebody else put a file under the name of an output into the spool: ours goes to trash, to be looked at.
Result<void> trash_duplicate(const Spool& spool, const std::string& id, const std::string& staged, const std::string& filename) {
  auto name = SpoolName::parse(filename);
  if (auto waiting = WaitingName::parse(filename)) name = waiting->name;
  auto file = spool.disk().open_file(staged);
  if (!name || !file) return Error{Code::kExists, EEXIST, "another file has the name of " + staged};
  auto context = spool.context_of(file->get(), *name, staged);
  if (!context) return context.error();
  return trash_staged(spool, id, staged, *context, "name taken", "another file stood under its name: somebody copied files into the spool");
}

Result<void> publish(const Spool& spool, const std::string& id, const std::string& target, const std::string& name, FarPlaces& places) {
  const Disk& disk = spool.disk();
  const std::string staged = layout::commit(id) + "/out/" + target + '/' + name;
  if (target == kDeliver) return is_companion(name) || name.ends_with(kContextSuffix) ? Result<void>() : publish_delivery(spool, id, staged, places);
  const std::string directory = unfolded(target);
  const std::string final = directory + '/' + name;
  auto moved = is_companion(name) ? disk.replace(staged, final) : disk.rename(staged, final);
  if (moved.is(Code::kGone) && disk.exists(staged)) {  // the step's directory was removed: it waits for its plugin
    MFDATA_TRY(disk.ensure_directory(directory));
    moved = disk.rename(staged, final);
  }
  return moved.is(Code::kExists) ? trash_duplicate(spool, id, staged, name) : moved;
}

// Companions first: a file never stands in trash without its note. What cannot be published now holds up nothing else;
// the error is the first one.
Result<void> publish_all(const Spool& spool, const std::string& id, bool repeats) {
  const std::string out = layout::commit(id) + "/out";
  auto targets = spool.disk().list(out);
  if (!targets) return targets.error();
  std::sort(targets->begin(), targets->end());
  FarPlaces places(repeats);
  Result<void> first;
  for (const std::string& target : *targets) {
    auto names = spool.disk().list(out + '/' + target);
    if (!names) return names.error();
    std::sort(names->begin(), names->end(), [](const std::string& a, const std::string& b) {
      return std::pair(!is_companion(a), a) < std::pair(!is_companion(b), b);
    });
    bool with_notes = true;  // of a trash directory
    for (const std::string& name : *names) {
      if (!with_notes && !is_companion(name)) break;
      auto published = publish(spool, id, target, name, places);
      if (published) continue;
      with_notes = with_notes && !is_companion(name);
      if (first) first = published;
    }
  }
  return first;
}

Result<void> publish_sidecars(const Spool& spool, const std::string& base) {
  auto uids = spool.disk().list(base + "/context");
  if (!uids) return uids.error();
  std::sort(uids->begin(), uids->end());
  for (const std::string& uid : *uids) {
    MFDATA_TRY(spool.disk().replace(base + "/context/" + uid, layout::sidecar(uid)));
  }
  return {};
}

// `repeats`: an earlier attempt may have published a part of it.
Result<void> publish_commit(const Spool& spool, const std::string& id, bool repeats) {
  const std::string base = layout::commit(id);
  MFDATA_TRY(publish_sidecars(spool, base));  // 7
  MFDATA_TRY(publish_all(spool, id, repeats));  // 8
  if (id.find(".accept.") != std::string::npos) MFDATA_TRY(remove_foreign_source(spool, base));  // 9
  return spool.disk().remove_tree(base);  // 10
}

}  // namespace

Result<void> transaction(const Spool& spool, const Slot& slot, const std::vector<Job*>& jobs,
                         std::vector<Output>& outputs, bool& committed) {
  const Disk& disk = spool.disk();
  const std::string base = slot.txn();
  committed = false;
  if (disk.exists(base)) MFDATA_TRY(abort_transaction(spool, slot));  // of a recovery that could not finish
  for (const char* part : {"", "/in", "/out", "/context"}) MFDATA_TRY(disk.make_directory(base + part));  // 1
  Staging staging(spool, slot, base);
  for (Output& output : outputs) MFDATA_TRY(staging.add(output));  // 2
  MFDATA_TRY(staging.finish());
  std::set<std::string> kept;
  for (const Output& output : outputs) {
    if (auto name = SpoolName::parse(output.filename)) kept.insert(name->uid);
    if (auto waiting = WaitingName::parse(output.filename)) kept.insert(waiting->name.uid);
  }
  for (const Job* job : jobs) {
    if (job->name.sidecar && !kept.contains(job->name.uid)) {  // its sidecar ends with it
      MFDATA_TRY(disk.rename(layout::sidecar(job->name.uid), base + "/in/" + job->name.uid + ".context"));  // 3
    }
    MFDATA_TRY(disk.rename(job->path, base + "/in/" + job->name.spell()));  // 4
  }
  const std::string id = slot.commit_prefix() + jobs.front()->name.spell();
  MFDATA_TRY(disk.rename(base, layout::commit(id)));  // 5: COMMIT
  committed = true;
  if (spool.forces_hops()) MFDATA_TRY(disk.sync(layout::kCommit));  // 6
  return publish_commit(spool, id, false);
}

Result<void> roll_forward(const Spool& spool, const std::string& id) { return publish_commit(spool, id, true); }

Result<void> roll_forward_all(const Spool& spool, const std::string& prefix) {
  auto ids = spool.disk().list(layout::kCommit);
  if (!ids) return ids.error();
  std::sort(ids->begin(), ids->end());
  Result<void> first;
  for (const std::string& id : *ids) {
    if (!id.starts_with(prefix)) continue;
    auto rolled = roll_forward(spool, id);
    if (!rolled && !rolled.is(Code::kBusy) && first) first = rolled;  // kBusy: all is published, the source is still written
  }
  return first;
}

Result<void> return_sidecars(const Spool& spool, const Slot& slot) {
  const std::string in = slot.txn() + "/in";
  auto names = spool.disk().list(in);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (!name.ends_with(kContextSuffix)) continue;
    const std::string uid = name.substr(0, name.size() - kContextSuffix.size());
    auto returned = spool.disk().rename(in + '/' + name, layout::sidecar(uid));
    if (returned.is(Code::kExists)) {  // whoever has made it anew knows more of the file; ours is kept to be looked at
      MFDATA_TRY(spool.disk().ensure_directory(layout::trash_directory(slot.step)));
      returned = spool.disk().replace(in + '/' + name, layout::trash_directory(slot.step) + '/' + name);
    }
    MFDATA_TRY(returned);
  }
  return {};
}

Result<void> abort_transaction(const Spool& spool, const Slot& slot) {
  MFDATA_TRY(return_sidecars(spool, slot));
  const std::string in = slot.txn() + "/in";
  auto names = spool.disk().list(in);
  if (!names) return names.error();
  for (const std::string& name : *names) MFDATA_TRY(spool.disk().rename(in + '/' + name, slot.in() + '/' + name));
  return spool.disk().remove_tree(slot.txn());
}

}  // namespace mfdata
