#include "libmfdata/deposit.hpp"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "libmfdata/arrival.hpp"
#include "libmfdata/digest.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kMany = 8;  // one syncfs(2) is cheaper than so many fsync(2), each of which waits for the device
constexpr std::string_view kNoKey = "0";

constexpr std::string_view kContext = ".context";  // behind the name of its file, before it has its place

enum class Writer { kDead, kAlive, kUnknown };

Writer writer_of(int file) {
  if (::flock(file, LOCK_EX | LOCK_NB) == 0) return Writer::kDead;
  return errno == EWOULDBLOCK || errno == EINTR ? Writer::kAlive : Writer::kUnknown;
}

std::string path_of(const std::string& uid, const std::string& key) {
  return layout::accept(uid + '.' + (key.empty() ? std::string(kNoKey) : key));
}

// What a key stands for: the deposit that came with it first.
struct First {
  std::string uid;
  std::string step;  // dotted
};

std::optional<First> first_with_key(const Spool& spool, const std::string& key) {
  auto content = spool.disk().read_link(layout::key(key));
  const std::size_t space = content ? content->find(' ') : std::string::npos;
  if (space == std::string::npos) return std::nullopt;
  return First{content->substr(0, space), content->substr(space + 1)};
}

// What came with the key first, and is committed. Nothing: nobody came, or it is on its way, or its writer died: whoever gives the
// key back does so before the file goes, so that a key which is there before and after tells a file that has its place.
Result<std::optional<First>> committed_with_key(const Spool& spool, const std::string& key) {
  const auto before = first_with_key(spool, key);
  if (!before) return std::optional<First>();
  auto status = spool.disk().status(path_of(before->uid, key));
  if (status) return std::optional<First>();
  if (!status.is(Code::kGone)) return status.error();
  auto after = first_with_key(spool, key);
  if (!after || after->uid != before->uid) return std::optional<First>();
  return after;
}

// A second name of the file stands elsewhere: it has its place (a filesystem without RENAME_NOREPLACE makes the name, then ends this).
bool has_its_place(int file) {
  struct stat st {};
  return ::fstat(file, &st) == 0 && st.st_nlink > 1;
}

}  // namespace

Deposit::Deposit(const Spool& spool, std::string uid, std::string key, FileDescriptor file)
    : spool_(&spool), uid_(std::move(uid)), key_(std::move(key)), path_(path_of(uid_, key_)), file_(std::move(file)), name_{uid_, 0, false, 0} {}

Deposit::Deposit(Deposit&& other) noexcept
    : spool_(other.spool_),
      uid_(std::move(other.uid_)),
      key_(std::move(other.key_)),
      path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      name_(std::move(other.name_)),
      first_uid_(std::move(other.first_uid_)),
      first_step_(std::move(other.first_step_)),
      has_key_(other.has_key_) {
  other.path_.clear();
  other.has_key_ = false;
}

Deposit::~Deposit() {
  if (path_.empty()) return;
  if (has_its_place(file_.get())) has_key_ = false;
  if (give_key_back()) (void)spool_->disk().unlink(path_);  // else it waits for the next recovery: without it the key would count
}

std::string Deposit::key_of(std::string_view owner, std::string_view key) {
  Digest digest = *Digest::of("sha-256");
  digest.add(owner);
  digest.add(std::string_view("\0", 1));
  digest.add(key);
  return hexadecimal(digest.take());
}

Result<Deposit> Deposit::open(const Spool& spool, const std::string& key) {
  constexpr int kAttempts = 100;
  auto known = key.empty() ? Result<std::optional<First>>(std::optional<First>()) : committed_with_key(spool, key);
  if (!known) return known.error();
  if (const std::optional<First>& first = *known) {
    Deposit repeat(spool, fresh_uid(), key, FileDescriptor());
    repeat.path_.clear();
    repeat.first_uid_ = first->uid;
    repeat.first_step_ = first->step;
    return repeat;
  }
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string uid = fresh_uid();
    auto file = spool.disk().create(path_of(uid, key));
    if (!file) return file.error();
    int locked = -1;
    do locked = ::flock(file->get(), LOCK_EX);
    while (locked != 0 && errno == EINTR);
    struct stat st {};
    const bool removed = ::fstat(file->get(), &st) == 0 && st.st_nlink == 0;  // before it was locked it looked like a dead one
    if (!removed) return Deposit(spool, std::move(uid), key, std::move(*file));
  }
  return Error{Code::kIo, 0, "cannot write a deposit: it is removed again and again"};
}

// Its context, before it has its name.
Result<void> Deposit::tag(const Order& order) {
  struct stat st;
  if (::fstat(file_.get(), &st) != 0) return system_error(errno, "cannot look at " + path_);
  Context context{uid_, 0, static_cast<std::uint64_t>(st.st_size), layout::step_directory(order.step), {}, first_tags(order.directory, order.name, uid_)};
  if (!order.dirname.empty()) MFDATA_TRY(context.tags.set("first.core.original_dirname", order.dirname));
  for (const auto& [tag, value] : *order.tags) MFDATA_TRY(context.tags.set(tag, value));
  auto tagged = set_tags_attribute(file_.get(), encode(context), path_);
  if (!tagged.is(Code::kAttribute)) return tagged;
  name_.sidecar = true;  // the sidecar first: the file is never without one
  const std::string fresh = path_ + std::string(kContext);
  MFDATA_TRY(spool_->write_sidecar(fresh, context));
  return spool_->disk().rename(fresh, layout::sidecar(uid_));
}

// From here on a repeat is told of this uid, unless this file still stands in tmp/accept.
Result<void> Deposit::take_key(const std::string& step) {
  auto taken = spool_->disk().symlink(uid_ + ' ' + step, layout::key(key_));
  has_key_ = static_cast<bool>(taken);
  if (!taken.is(Code::kExists)) return taken;
  return Error{Code::kBusy, EEXIST, "another deposit with the same key has come first: ask again"};  // then it is a repeat, and knows the uid
}

// Before the file goes.
Result<void> Deposit::give_key_back() {
  const auto first = has_key_ ? first_with_key(*spool_, key_) : std::nullopt;
  if (!first || first->uid != uid_) return {};
  MFDATA_TRY(spool_->disk().unlink(layout::key(key_)));
  has_key_ = false;
  return spool_->forces_inodes() ? spool_->disk().sync(layout::kKeys) : Result<void>();
}

Result<void> Deposit::place(const std::string& step) {
  auto placed = spool_->disk().rename(path_, layout::step_directory(step) + '/' + name_.spell());
  if (placed) path_.clear();
  return placed;
}

Result<void> Deposit::commit(const std::string& step, const std::string& name, const std::string& directory,
                             const TagSet& tags) {
  std::vector<Order> orders{{this, step, name, directory, &tags, {}}};
  commit_all(*spool_, orders);
  return orders[0].result;
}

void Deposit::commit_all(const Spool& spool, std::vector<Order>& orders) {
  const bool forces = spool.forces_inodes();
  const auto each = [&](const auto& wanted, const auto& action) {
    for (Order& order : orders) {
      if (order.result && wanted(*order.deposit)) order.result = action(order);
    }
  };
  const auto fresh = [](const Deposit& deposit) { return !deposit.is_repeat(); };
  const auto keyed = [&](const Deposit& deposit) { return fresh(deposit) && !deposit.key_.empty(); };
  const auto any_keyed = [&] {
    return std::any_of(orders.begin(), orders.end(), [&](const Order& order) { return order.result && keyed(*order.deposit); });
  };
  each(fresh, [](Order& order) { return order.deposit->tag(order); });
  const auto some = std::find_if(orders.begin(), orders.end(), [&](const Order& order) { return order.result && fresh(*order.deposit); });
  if (forces && orders.size() >= kMany && some != orders.end()) {
    const auto forced = sync_filesystem_of(some->deposit->file_.get(), some->deposit->path_);
    each(fresh, [&](Order& order) { return forced ? check_written(order.deposit->file_.get(), order.deposit->path_) : forced; });
  } else if (forces) {
    each(fresh, [](Order& order) { return sync_file(order.deposit->file_.get(), order.deposit->path_); });
  }
  if (any_keyed()) {
    // What a key names was there before the key.
    const auto forced = forces ? spool.disk().sync(layout::kAccept) : Result<void>();
    each(keyed, [&](Order&) { return forced; });
    each(keyed, [](Order& order) { return order.deposit->take_key(order.step); });
  }
  std::set<std::string> directories;  // that have to be forced; of a repeat too: who deposited first may not have come so far
  const bool any_key = std::any_of(orders.begin(), orders.end(), [](const Order& order) { return order.result && !order.deposit->key_.empty(); });
  if (forces && any_key) {
    const auto forced = spool.disk().sync(layout::kKeys);
    each([](const Deposit& deposit) { return !deposit.key_.empty(); }, [&](Order&) { return forced; });
  }
  each(fresh, [](Order& order) { return order.deposit->place(order.step); });
  for (Order& order : orders) {
    const bool unused = !order.result && !has_its_place(order.deposit->file_.get());
    if (unused && order.deposit->name_.sidecar) (void)spool.disk().unlink(layout::sidecar(order.deposit->uid_));
  }
  if (!forces) return;
  for (const Order& order : orders) {
    if (order.result) directories.insert(layout::step_directory(order.deposit->is_repeat() ? order.deposit->first_step_ : order.step));
  }
  for (const std::string& directory : directories) {
    auto forced = spool.disk().sync(directory);
    if (forced) continue;
    for (Order& order : orders) {
      const bool repeats = order.deposit->is_repeat();
      const std::string& step = repeats ? order.deposit->first_step_ : order.step;
      if (order.result && layout::step_directory(step) == directory && !(repeats && forced.is(Code::kGone))) order.result = forced;
    }
  }
}

Result<bool> drop_dead_deposit(const Spool& spool, const std::string& entry, bool alone) {
  const Disk& disk = spool.disk();
  const std::string base = entry.ends_with(kContext) ? entry.substr(0, entry.size() - kContext.size()) : entry;
  const std::size_t dot = std::min(base.find('.'), base.size());
  const std::string uid = base.substr(0, dot), key = base.substr(std::min(dot + 1, base.size()));
  auto content = disk.open_file(layout::accept(base));  // what is locked, also for the context beside it
  if (!content && !content.is(Code::kGone)) return content.error();
  if (content) {
    const Writer writer = writer_of(content->get());
    if (writer == Writer::kAlive || (writer == Writer::kUnknown && !alone)) return false;
    if (has_its_place(content->get())) {  // killed between the two names: it is committed
      auto ended = disk.unlink(layout::accept(base));
      return ended || ended.is(Code::kGone) ? Result<bool>(true) : ended.error();
    }
  }
  const auto first = entry == base && !key.empty() && key != kNoKey ? first_with_key(spool, key) : std::nullopt;
  if (first && first->uid == uid) {
    MFDATA_TRY(disk.unlink(layout::key(key)));  // before the file: without it the key would count
    if (spool.forces_inodes()) MFDATA_TRY(disk.sync(layout::kKeys));
  }
  auto removed = disk.unlink(layout::accept(entry));
  if (!removed) return removed.is(Code::kGone) ? Result<bool>(true) : removed.error();  // it was committed meanwhile
  if (entry == base && disk.exists(layout::sidecar(uid))) MFDATA_TRY(disk.unlink(layout::sidecar(uid)));
  return true;
}

Result<void> recover_deposits(const Spool& spool) {
  auto entries = spool.disk().list(layout::kAccept);
  if (!entries) return entries.error();
  std::sort(entries->begin(), entries->end());
  Result<void> first;
  for (const std::string& entry : *entries) {
    auto status = spool.disk().status(layout::accept(entry));
    if (!status || S_ISDIR(status->st_mode)) continue;
    auto dropped = drop_dead_deposit(spool, entry, false);
    if (!dropped && first) first = dropped.error();
  }
  return first;
}

}  // namespace mfdata
