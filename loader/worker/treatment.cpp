#include "worker/treatment.hpp"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "libmfdata/delivery.hpp"
#include "libmfdata/filesystem_kind.hpp"
#include "libmfdata/take_out.hpp"

namespace mfdata {
namespace {

// SEMANTICS, enter_step: UTC with microseconds.
std::string enter_time() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  ::gmtime_r(&now.tv_sec, &utc);
  std::array<char, 48> text;
  std::size_t length = ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  length += static_cast<std::size_t>(std::snprintf(text.data() + length, text.size() - length, ":%06ld", now.tv_nsec / 1000));
  return std::string(text.data(), length);
}

bool same_time(const timespec& one, const timespec& other) { return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec; }

Error too_many_files() { return Error{Code::kLimit, 0, "more than 10000 new files in one call"}; }
Error argument(std::string text) { return Error{Code::kBadData, 0, std::move(text)}; }

// Each part of a relative name is one that can be made.
bool usable_name(std::string_view name) {
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    if (!can_be_file_name(name.substr(at, end - at))) return false;
    at = end + 1;
  }
  return true;
}

// The directory that is missing, and its parents: each gets the mode of the directory that it is made in, or the one that is
// asked for, whatever the umask of a worker is.
Result<void> make_missing(const std::string& directory, std::uint32_t mode) {
  struct stat st;
  if (::stat(directory.c_str(), &st) == 0) return {};
  if (errno != ENOENT || directory == "/") return system_error(errno, "cannot look at " + directory);
  const std::string parent = directory_of(directory);
  MFDATA_TRY(make_missing(parent, mode));
  if (::stat(parent.c_str(), &st) != 0) return system_error(errno, "cannot look at " + parent);
  if (::mkdir(directory.c_str(), 0700) != 0) return errno == EEXIST ? Result<void>() : system_error(errno, "cannot make " + directory);
  if (::chmod(directory.c_str(), mode != 0 ? mode : st.st_mode & 07777) == 0) return {};
  return system_error(errno, "cannot set the mode of " + directory);
}

// Where a delivery goes, made where that may be: the device it is on. `top` is what the operator wrote. Outside of the home
// it is never made: a mount that is away would be hidden files below its mount point once it is back.
Result<dev_t> delivery_directory(const std::string& top, const std::string& directory, const MakeDirectories& make, bool of_the_home) {
  struct stat there;
  if (::stat(directory.c_str(), &there) != 0) {
    const bool top_stands = ::stat(top.c_str(), &there) == 0;
    if (!top_stands && !(make.wanted && of_the_home)) {
      Error error = system_error(errno, "cannot deliver to " + top);
      if (error.errnum == ENOENT) error.text += ": make the directory, or mount what belongs there";
      return error;
    }
    if (!make.wanted) return system_error(ENOENT, "cannot deliver to " + directory);
    MFDATA_TRY(make_missing(directory, make.mode));
    if (::stat(directory.c_str(), &there) != 0) return system_error(errno, "cannot deliver to " + directory);
  }
  if (!S_ISDIR(there.st_mode)) return system_error(ENOTDIR, "cannot deliver to " + directory);
  return there.st_dev;
}

}  // namespace

bool can_be_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 && name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

std::uint64_t Treatment::next_hop(const TagSet& tags) {
  const auto counter = tags.get("latest.core.step_counter");
  if (!counter) return 0;
  std::uint64_t hop = 0;
  std::from_chars(counter->data(), counter->data() + counter->size(), hop);
  return hop + 1;
}

TagSet Treatment::tags_at_begin(std::size_t index) const {
  TagSet tags = jobs_[index].context.tags;
  const std::string step = settings_.step.dotted();
  const std::string number = std::to_string(hops_[index]);
  tags.forget_old_hops(hops_[index]);
  // What does not fit is not missed: the limit of 64 KiB is reported to the plugin when it sets a tag.
  (void)tags.set("latest.core.step_counter", number);
  (void)tags.set(number + '.' + step + ".enter_step", began_);
  if (!batch_id_.empty()) (void)tags.set(number + '.' + step + ".batch_id", batch_id_);
  return tags;
}

void Treatment::begin(std::vector<Job> jobs, const std::string& batch_id) {
  reset();
  jobs_ = std::move(jobs);
  batch_id_ = batch_id;
  began_ = enter_time();
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    hops_.push_back(next_hop(jobs_[i].context.tags));
    mfdata_file& file = files_.emplace_back();
    file.input = static_cast<int>(i);
    file.parent = i;
    file.path = jobs_[i].path;
    file.absolute = spool_.disk().absolute(jobs_[i].path);
    file.tags = tags_at_begin(i);
  }
}

void Treatment::begin_reading(const std::string& absolute, const TagSet& tags) {
  reset();
  read_only_ = true;
  hops_.push_back(next_hop(tags) - 1);
  mfdata_file& file = files_.emplace_back();
  file.input = 0;
  file.absolute = absolute;
  file.tags = tags;
}

void Treatment::reset() {
  remove_new_files();
  met.reset();
  last_chance = read_only_ = false;
  jobs_.clear();
  hops_.clear();
  files_.clear();
  staged_.clear();
  reason.clear();
  retry_delay_ms.reset();
}

void Treatment::remove_new_files() {
  for (const mfdata_file& file : files_) {
    if (made_files_ && file.input < 0) (void)spool_.disk().unlink(file.path);
  }
  made_files_ = false;
  clear_scratch();
}

void Treatment::clear_scratch() {
  if (!made_scratch_) return;
  (void)spool_.disk().remove_tree(slot_.scratch());
  (void)spool_.disk().make_directory(slot_.scratch());
  made_scratch_ = false;
}

std::uint64_t Treatment::hop_of(const mfdata_file& file) const {
  if (file.parent < hops_.size()) return hops_[file.parent];
  return hops_.empty() ? 0 : *std::max_element(hops_.begin(), hops_.end());
}

bool Treatment::owns(const mfdata_file* file) const {
  return std::any_of(files_.begin(), files_.end(), [&](const mfdata_file& mine) { return &mine == file; });
}

// Several treatments of one slot may wait for their common commit: the numbers are the process's.
std::string Treatment::next_path() {
  static std::atomic<std::uint64_t> serial{0};
  return slot_.out() + '/' + std::to_string(++serial);
}

Result<mfdata_file*> Treatment::new_file(const std::string& path, const mfdata_file* inherit) {
  mfdata_file& file = files_.emplace_back();
  file.path = path;
  file.absolute = spool_.disk().absolute(path);
  if (inherit) {
    file.parent = inherit->parent;
    file.tags = inherit->tags;
  }
  made_files_ = true;
  return &file;
}

Result<mfdata_file*> Treatment::tmp_file(const mfdata_file* inherit) {
  if (files_.size() >= jobs_.size() + kMaxOutputs) return too_many_files();
  const std::string path = next_path();
  auto made = spool_.disk().create_anew(path);
  if (!made) return made.error();
  return new_file(path, inherit);
}

Result<std::string> Treatment::scratch_dir() {
  made_scratch_ = true;
  return spool_.disk().absolute(slot_.scratch());
}

Result<mfdata_file*> Treatment::adopt(const std::string& path, const mfdata_file* inherit) {
  const std::string scratch = spool_.disk().absolute(slot_.scratch()) + '/';
  const std::string name = path.starts_with(scratch) ? path.substr(scratch.size()) : path;
  if (!made_scratch_ || name.starts_with('/') || !usable_name(name)) {
    return argument("a file to adopt stands in the scratch directory of this call, not \"" + path.substr(0, 200) + '"');
  }
  if (files_.size() >= jobs_.size() + kMaxOutputs) return too_many_files();
  const std::string target = next_path();
  (void)spool_.disk().unlink(target);
  MFDATA_TRY(take_out(spool_.disk(), slot_.scratch(), name, target));
  return new_file(target, inherit);
}

std::string Treatment::uid_of(const mfdata_file* file) const {
  if (file->input >= 0) return jobs_[static_cast<std::size_t>(file->input)].name.uid;
  if (jobs_.size() != 1) return "";
  const SpoolName& parent = jobs_[0].name;
  return child_uid(parent.uid, parent.generation + 1, staged_.size());
}

Result<void> Treatment::stage(StagedOutput output) {
  if (staged_.size() >= kMaxOutputs) return Error{Code::kLimit, 0, "more than 10000 outputs in one call"};
  if (output.op == Op::kMove) {
    if (output.file->moved) return Error{Code::kExists, 0, "the file is staged as a move already"};
    output.file->moved = true;
  } else if (output.file->input < 0) {
    return argument("a new file can only be moved");
  }
  output.file->tags.erase("latest." + settings_.step.dotted() + "_reinject.attempt");  // it ends with the step
  staged_.push_back(std::move(output));
  return {};
}

Result<void> Treatment::emit(mfdata_file* file, Op op, const std::string& target) {
  const std::string slashed = target.find('/') == std::string::npos ? settings_.step.plugin + '/' + target : target;
  const auto known = std::lower_bound(settings_.targets.begin(), settings_.targets.end(), slashed);
  if (known == settings_.targets.end() || *known != slashed) {
    return Error{Code::kNotFound, 0, "there is no step \"" + slashed + '"'};
  }
  StagedOutput output;
  output.file = file;
  output.op = op;
  output.step = slashed;
  output.step.replace(slashed.find('/'), 1, ".");
  output.target = static_cast<std::uint16_t>(known - settings_.targets.begin());
  return stage(std::move(output));
}

Result<void> Treatment::deliver(mfdata_file* file, Op op, const std::string& asked, const std::string& basename,
                                const DeliveryStyle& style, MakeDirectories make) {
  std::string directory = asked;
  if (!settings_.trial.deliver_below.empty() && asked.starts_with('/') && !asked.starts_with(settings_.home + '/')) {
    struct stat there;
    if (::stat(asked.c_str(), &there) != 0) return delivery_error(system_error(errno, "cannot deliver to " + asked));
    const std::string real = boost::filesystem::path(asked).lexically_normal().string();  // ".." leads out of nothing
    directory = settings_.trial.deliver_below + real;
    make.wanted = true;
  }
  const std::string name = basename.empty() ? std::string(file->tags.get("first.core.original_basename").value_or("")) : basename;
  if (!directory.starts_with('/') || directory.find('\0') != std::string::npos) {
    return argument("a delivery goes to an absolute directory, not \"" + directory.substr(0, 200) + '"');
  }
  if (!usable_name(name)) return argument("\"" + name.substr(0, 200) + "\" cannot be the name of a delivered file");
  if (style.tags_suffix.size() > 100) return argument("a tags suffix has at most 100 bytes");
  StagedOutput output;
  output.path = directory + (directory.ends_with('/') ? "" : "/") + name;
  for (const char* ours : {"/tmp/", "/trash/"}) {
    if (output.path.starts_with(spool_.disk().root() + ours)) return argument("no file is delivered into the spool's own " + std::string(ours));
  }
  const bool of_the_home = directory.starts_with(settings_.home + '/') && directory.find("/..") == std::string::npos;
  auto device = delivery_directory(directory, directory_of(output.path), make, of_the_home);
  if (!device) return delivery_error(device.error());
  output.far = *device != spool_.disk().device();
  if (output.far && ::access(directory_of(output.path).c_str(), W_OK | X_OK) != 0) {  // before anything is committed
    return delivery_error(system_error(errno, "cannot deliver to " + directory_of(output.path)));
  }
  output.file = file;
  output.op = op == Op::kLink ? Op::kCopy : op;
  output.style = style;
  return stage(std::move(output));
}

bool Treatment::input_changed(std::size_t index) const {
  const struct stat& then = jobs_[index].status;
  auto now = spool_.disk().status(jobs_[index].path);
  if (!now || now->st_ino != then.st_ino || now->st_dev != then.st_dev || now->st_size != then.st_size || !same_time(now->st_mtim, then.st_mtim)) return true;
  // A change that keeps size and time (touch -r) does not keep the change time. That of a file with several names is also changed by
  // what becomes of the others; and that of a remote filesystem may be told late.
  if (then.st_nlink != 1 || now->st_nlink != 1 || same_time(now->st_ctim, then.st_ctim)) return false;
  const auto kind = filesystem_of(spool_.disk().root());
  return kind && kind->local;
}

}  // namespace mfdata
