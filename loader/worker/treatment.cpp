#include "worker/treatment.hpp"

#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/filesystem/operations.hpp>
#include <charconv>
#include <cstdio>

#include "libmfdata/delivery.hpp"

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

Error too_many_files() { return Error{Code::kLimit, 0, "more than 10000 new files in one call"}; }
Error argument(std::string text) { return Error{Code::kBadData, 0, std::move(text)}; }

// Each part of a relative name is one that can be made: not empty, ".", ".." or too long.
bool usable_name(const std::string& name) {
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    const std::string part = name.substr(at, end - at);
    if (part.empty() || part == "." || part == ".." || part.size() > 255 || part.find('\0') != std::string::npos) return false;
    at = end + 1;
  }
  return true;
}

}  // namespace

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
  if (made_files_) {
    for (const mfdata_file& file : files_) {
      if (file.input < 0) (void)spool_.disk().unlink(file.path);
    }
  }
  clear_scratch();
  made_files_ = met_full_disk = read_only_ = false;
  jobs_.clear();
  hops_.clear();
  files_.clear();
  staged_.clear();
  reason.clear();
  retry_delay_ms.reset();
}

void Treatment::clear_scratch() {
  if (!made_scratch_) return;
  (void)spool_.disk().remove_tree(slot_.scratch());
  (void)spool_.disk().make_directory(slot_.scratch());
  made_scratch_ = false;
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
  const std::string source = slot_.scratch() + '/' + name;
  auto status = spool_.disk().status(source);
  if (!status) return status.error();
  if (!S_ISREG(status->st_mode) || status->st_nlink != 1) return argument(name + " is not a regular file with one link");
  if (files_.size() >= jobs_.size() + kMaxOutputs) return too_many_files();
  const std::string target = next_path();
  (void)spool_.disk().unlink(target);
  MFDATA_TRY(spool_.disk().rename(source, target));
  return new_file(target, inherit);
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

Result<void> Treatment::deliver(mfdata_file* file, Op op, const std::string& directory, const std::string& basename,
                                const DeliveryStyle& style, bool make_directories) {
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
  const std::string final_directory = directory_of(output.path);
  struct stat there;
  bool stands = ::stat(final_directory.c_str(), &there) == 0;
  if (!stands && make_directories) {
    boost::system::error_code code;
    boost::filesystem::create_directories(final_directory, code);
    if (code) return system_error(code.value(), "cannot make " + final_directory);
    stands = ::stat(final_directory.c_str(), &there) == 0;
  }
  if (!stands) return system_error(errno, "cannot deliver to " + final_directory);
  if (!S_ISDIR(there.st_mode)) return argument(final_directory + " is not a directory");
  output.far = there.st_dev != spool_.disk().device();
  output.file = file;
  output.op = op == Op::kLink ? Op::kCopy : op;
  output.style = style;
  return stage(std::move(output));
}

bool Treatment::input_changed(std::size_t index) const {
  const struct stat& then = jobs_[index].status;
  auto now = spool_.disk().status(jobs_[index].path);
  return !now || now->st_ino != then.st_ino || now->st_dev != then.st_dev || now->st_size != then.st_size ||
         now->st_mtim.tv_sec != then.st_mtim.tv_sec || now->st_mtim.tv_nsec != then.st_mtim.tv_nsec;
}

}  // namespace mfdata
