#include "old_files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace fs = std::filesystem;

namespace {

constexpr const char* kAttribute = "user.mfdata.tags";
constexpr std::size_t kMaxAttribute = 64 * 1024 + 1024;  // the tags, and the header
constexpr std::size_t kMaxCompanion = std::size_t{1} << 20;
constexpr double kDay = 86'400;

// The value of a tag in the text of the attribute or (" = ") of a companion, as it stands there; empty: none.
std::string tag_in(const std::string& text, const std::string& name, const char* between) {
  const std::string line = '\n' + name + between;
  const std::size_t at = text.find(line);
  return at == std::string::npos ? "" : text.substr(at + line.size(), text.find('\n', at + 1) - at - line.size());
}

bool last_hop_was(const std::string& text, const std::string& step, const char* between) {
  const std::string hop = tag_in(text, "latest.core.step_counter", between);
  return !hop.empty() && !tag_in(text, hop + '.' + step + ".enter_step", between).empty();
}

std::string attribute_of(const std::string& path) {
  std::string text(kMaxAttribute, '\0');
  const ssize_t length = ::lgetxattr(path.c_str(), kAttribute, text.data(), text.size());
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return text;
}

std::string companion_text(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return "";
  std::string text(kMaxCompanion, '\0');
  const ssize_t length = ::read(file, text.data(), text.size());
  ::close(file);
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return '\n' + text;
}

}  // namespace

std::optional<double> lifetime_s(const std::string& text) {
  char* unit = nullptr;
  const double number = std::strtod(text.c_str(), &unit);
  const std::string_view rest(unit);
  const double seconds = rest.empty() || rest == "d" ? kDay : rest == "h" ? 3600 : rest == "m" ? 60 : rest == "s" ? 1 : 0;
  if (unit == text.c_str() || seconds == 0) return std::nullopt;
  return number * seconds;
}

OldFiles::~OldFiles() { end(); }

// By the time of its last status change: that is when it was archived, whatever time its content has.
bool OldFiles::is_old(const struct stat& status, std::time_t now) const { return static_cast<double>(now - status.st_ctim.tv_sec) > lifetime_s_; }

// Its last hop was through this step: its attribute says so or, where there is none that could hold it, its companion.
bool OldFiles::is_ours(const std::string& path) const {
  const std::string text = attribute_of(path);
  if (text.find("\nlatest.core.step_counter=") != std::string::npos) return last_hop_was(text, step_, "=");
  return !tags_suffix_.empty() && last_hop_was(companion_text(path + tags_suffix_), step_, " = ");
}

bool OldFiles::remove_if_old(const fs::path& path, std::time_t now) const {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || !is_old(status, now) || !is_ours(path.string())) return false;
  const std::string companion = path.string() + tags_suffix_;
  // First, so that a kill leaves a file that the next sweep removes. One that is young, or a file of its own, stays.
  const bool has_companion = !tags_suffix_.empty() && ::lstat(companion.c_str(), &status) == 0 && S_ISREG(status.st_mode) && is_old(status, now);
  if (has_companion && ::lgetxattr(companion.c_str(), kAttribute, nullptr, 0) < 0) ::unlink(companion.c_str());
  if (::unlink(path.c_str()) != 0) return false;
  if (path.parent_path() != fs::path(directory_)) ::rmdir(path.parent_path().c_str());  // stays unless it is empty
  return true;
}

// False: another worker is on its way, or the directory is not there.
bool OldFiles::begin(const mfdata::sdk::ClockReading& now, std::string& problem) {
  lock_ = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::error_code error;
  if (lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) == 0) {
    at_ = fs::recursive_directory_iterator(directory_, fs::directory_options::skip_permission_denied, error);
    if (error) problem = "old files cannot be looked for in " + directory_ + ": " + error.message();
    clock_.catch_up();  // as the worker left it that was here last
    if (!error && !has_to_wait(now, problem)) return true;
  }
  end();
  return false;
}

bool OldFiles::has_to_wait(const mfdata::sdk::ClockReading& now, std::string& problem) {
  if (clock_.wait_s(now) == 0) return false;
  problem = "the clock went forward by " + std::to_string(clock_.ahead_s() / 3600) +
            " hours more than time has passed: nothing that is old is removed for an hour. Set the clock right if it is wrong";
  return true;
}

void OldFiles::end() {
  if (lock_ >= 0) ::close(lock_);
  lock_ = -1;
  at_ = fs::recursive_directory_iterator();
  next_ = Clock::now() + std::chrono::minutes(1);
}

std::size_t OldFiles::sweep(const mfdata::sdk::ClockReading& now, std::chrono::milliseconds budget, std::string& problem) {
  const Clock::time_point began = Clock::now();
  if (lifetime_s_ < 0 || (lock_ < 0 && (began < next_ || !begin(now, problem)))) return 0;
  if (has_to_wait(now, problem)) {  // it was set meanwhile
    end();
    return 0;
  }
  std::size_t removed = 0;
  std::error_code error;
  while (!error && at_ != fs::recursive_directory_iterator() && Clock::now() - began < budget) {
    const fs::path path = at_->path();
    std::error_code ignored;
    if (at_->is_directory(ignored) && fs::exists(path / "tmp/commit", ignored)) at_.disable_recursion_pending();  // a spool
    at_.increment(error);  // before it goes
    removed += remove_if_old(path, now.wall_s);
  }
  if (error) problem = "old files cannot be looked for in " + directory_ + ": " + error.message() + ": what stands behind it is looked at later";
  if (error || at_ == fs::recursive_directory_iterator()) end();
  return removed;
}
