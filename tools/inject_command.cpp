// inject: copies of files come into a watched directory, or before a step; --wait follows them to their ends.
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "commands.hpp"
#include "control_client.hpp"
#include "deposited_file.hpp"
#include "interrupts.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/counted.hpp"
#include "libmfdata/delivery.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/settings.hpp"
#include "libmfdata/waiting_file.hpp"
#include "progress.hpp"

namespace fs = boost::filesystem;
using nlohmann::json;

namespace mfdata::tools {
namespace {

constexpr std::int64_t kPatience_ns = 30'000'000'000;

// The places at the loader's control socket may all be taken for a moment. A loader that is busy is waited for, until `most_ns`
// at the latest.
Result<json> ask(const Home& home, const json& request, std::int64_t most_ns) {
  constexpr double kShortest_s = 0.2;
  for (const std::int64_t until = std::min(most_ns, monotonic_ns() + kPatience_ns);; ::usleep(20'000)) {
    const double left_s = static_cast<double>(until - monotonic_ns()) / 1e9;
    const auto reply = ask_loader(home, request.dump(-1, ' ', false, json::error_handler_t::replace), std::clamp(left_s, kShortest_s, 10.0));
    if (!reply && (reply.is(Code::kGone) || reply.error().errnum == EACCES || monotonic_ns() > until)) return reply.error();
    if (!reply) continue;
    json answer = json::parse(*reply, nullptr, false);
    if (!answer.is_object()) return Error{Code::kBadData, 0, "the loader's answer is no JSON"};
    if (answer.contains("error") && answer["error"].is_string()) return Error{answer.contains("full") ? Code::kLimit : Code::kRefused, 0, answer["error"].get<std::string>()};
    return answer;
  }
}

// The files of this command, as the loader follows them.
class Followed {
 public:
  // `timeout_s`: of everything, from now on; 0: none.
  Followed(const Home& home, bool wanted, const std::vector<std::string>& names, double timeout_s)
      : home_(home),
        wanted_(wanted),
        names_(names),
        timeout_s_(timeout_s),
        until_(timeout_s > 0 ? monotonic_ns() + static_cast<std::int64_t>(timeout_s * 1e9) : INT64_MAX) {}
  Followed(const Followed&) = delete;
  Followed& operator=(const Followed&) = delete;
  ~Followed() {
    if (wanted_ && told_) (void)ask(home_, {{"command", "unfollow"}, {"session", session_}}, monotonic_ns() + kShortly_ns);
  }

  // The loader cannot be asked any more, or does not follow what is injected there: no other file is either.
  bool broken() const { return broken_; }

  // Before it can be seen.
  Result<void> arrival(std::size_t label, const std::string& directory, const struct stat& file) {
    return follow({{"label", label}, {"directory", directory}, {"device", file.st_dev}, {"inode", file.st_ino}});
  }
  Result<void> deposit(std::size_t label, const std::string& uid) { return follow({{"label", label}, {"uid", uid}}); }
  // It was not injected after all.
  void drop(std::size_t label) {
    if (wanted_ && !broken_) (void)ask(home_, {{"command", "unfollow"}, {"session", session_}, {"label", label}}, until_);
  }

  // Says how each of the files ended, of which `placed` were injected; the exit code.
  int wait(std::size_t placed) {
    Progress progress("ended", placed);
    for (useconds_t pause_us = 5'000;; pause_us = std::min<useconds_t>(pause_us * 2, 200'000)) {
      const std::size_t before = seen_;
      const auto report = read_ends(&progress);
      if (!report) return fail("injected, but it cannot be told what became of it: " + report.error().text);
      const auto open = (*report)["open"].get<std::size_t>();
      if (open == 0 && seen_ == before) {
        return seen_ < placed ? fail("injected, but it cannot be told what became of all files: the loader has forgotten some") : code_;
      }
      progress.step(seen_);
      if (InterruptsNoted::any() && open > 0) return fail("interrupted: " + counted(open, "file is", "files are") + " still under way");
      if (monotonic_ns() > until_) return give_up(*report, open);
      if (seen_ == before) ::usleep(pause_us);
    }
  }

 private:
  Result<json> read_ends(Progress* progress) {
    auto report = ask(home_, {{"command", "followed"}, {"session", session_}, {"from", seen_}}, until_);
    if (!report) return report;
    for (const json& end : (*report)["ends"]) {
      ++seen_;
      if (progress) progress->clear();
      const bool well = end["well"].get<bool>();
      (well ? std::cout : std::cerr) << name_of(end["label"].get<std::size_t>()) << ": " << printable(end["what"].get<std::string>()) << std::endl;
      if (!well) code_ = 1;
    }
    return report;
  }

  // The loader keeps what ended until it is read.
  Result<void> follow(json request) {
    constexpr std::size_t kReadAfter = 500;
    if (!wanted_) return {};
    if (++told_ % kReadAfter == 0) {
      auto report = read_ends(nullptr);
      broken_ = !report;
      if (!report) return report.error();
    }
    request["command"] = "follow";
    request["session"] = session_;
    auto answer = ask(home_, request, until_);
    broken_ = !answer;
    return answer ? Result<void>() : answer.error();
  }

  std::string name_of(std::size_t label) const { return printable(names_.at(label)); }

  int give_up(const json& report, std::size_t open) const {
    if (open == 0) return code_;
    const std::string last = report["last"].get<std::string>();
    std::ostringstream seconds;
    seconds << timeout_s_;
    return fail(counted(open, "file is", "files are") + " still under way after " + seconds.str() + " s (--timeout): " +
                name_of(report["label"].get<std::size_t>()) + (last.empty() ? " was not taken yet" : " " + printable(last)) + "; see mfdata status");
  }

  const Home& home_;
  const bool wanted_;
  static constexpr std::int64_t kShortly_ns = 2'000'000'000;
  const std::vector<std::string>& names_;
  const double timeout_s_;
  const std::int64_t until_;
  bool broken_ = false;
  const std::string session_ = fresh_uid();
  std::size_t told_ = 0, seen_ = 0;
  int code_ = 0;
};

// Root opens the source as itself, and does the rest in the home of somebody else as its owner: what root made there would
// be in the loader's way.
class AsOwner {
 public:
  explicit AsOwner(const Home& home) {
    struct stat st {};
    if (::geteuid() != 0 || ::stat(home.root.c_str(), &st) != 0 || st.st_uid == 0) return;
    owner_ = st.st_uid;
    const passwd* user = ::getpwuid(owner_);
    group_ = user ? user->pw_gid : st.st_gid;
    if (user) name_ = user->pw_name;
    changes_ = true;
    groups_.resize(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    groups_.resize(static_cast<std::size_t>(std::max(::getgroups(static_cast<int>(groups_.size()), groups_.data()), 0)));
  }
  Result<void> begin() const {
    if (!changes_) return {};
    const int grouped = name_.empty() ? ::setgroups(1, &group_) : ::initgroups(name_.c_str(), group_);
    if (grouped == 0 && ::setegid(group_) == 0 && ::seteuid(owner_) == 0) return {};
    Error error = system_error(errno, "cannot act as the owner of the home");
    end();
    return error;
  }
  void end() const {
    const bool back = !changes_ || (::seteuid(0) == 0 && ::setegid(0) == 0 && ::setgroups(groups_.size(), groups_.data()) == 0);
    mfdata::check(back, "root cannot be root again");
  }

 private:
  uid_t owner_ = 0;
  gid_t group_ = 0;
  std::string name_;
  std::vector<gid_t> groups_;
  bool changes_ = false;
};

// Written under a hidden name beside its place, then renamed: whoever watches sees whole files only.
Result<void> place(int from, const std::string& directory, const std::string& name, std::size_t label, Followed& followed) {
  auto disk = Disk::open(directory);
  if (!disk) return disk.error();
  const std::string hidden = ".inject-" + fresh_uid();
  auto to = disk->create(hidden);
  if (!to) return to.error();
  auto done = copy_content(from, to->get(), name);
  to->close();
  if (auto status = disk->status(hidden); done && status) done = followed.arrival(label, directory, *status);
  for (unsigned number = 0; done;) {
    done = disk->rename(hidden, numbered_name(name, number, 0));
    if (done) return done;
    if (!done.is(Code::kExists)) break;
    auto next = free_number(directory + '/' + name, number + 1, [&](unsigned n) { return Result<bool>(disk->exists(numbered_name(name, n, 0))); });
    done = next ? Result<void>() : next.error();
    if (next) number = *next;
  }
  (void)disk->unlink(hidden);
  return done;
}

Result<void> place_before(int from, const Spool& spool, const std::string& source, const std::string& step, const std::string& name,
                          const TagSet& tags, std::size_t label, Followed& followed) {
  DepositOptions options;
  options.before_commit = [&](const std::string& uid) { return followed.deposit(label, uid); };
  return deposit_from(spool, from, source, step, name, tags, options);
}

}  // namespace

int inject(const std::string& option, const InjectOptions& options) {
  ::umask(077);
  auto home = find_home(option);
  if (!home) return fail(home.error().text);
  Problems problems;
  const Settings settings = load_settings(*home, problems);
  for (const Problem& problem : problems) std::cerr << problem.spell() << '\n';
  if (!problems.empty()) return 1;
  auto tags = parse_assignments(options.tags);
  if (!tags) return fail(tags.error().text);
  if (!options.tags.empty() && options.step.empty()) return misuse("tags do not survive a watched directory: use --tag with --step PLUGIN/STEP");
  if (!options.step.empty() && !settings.find_step(options.step)) return fail("there is no step \"" + options.step + "\": see mfdata status");
  if (options.wait) {
    if (auto running = ask(*home, json::object({{"command", "status"}}), INT64_MAX); !running) return fail("nothing is injected: " + running.error().text);
  }
  const AsOwner owner(*home);
  if (auto begun = owner.begin(); !begun) return fail(begun.error().text);
  auto spool = Spool::open(settings.general.data_dir, settings.general.durability);
  if (!spool) return fail(spool.error().text);
  auto lock = lock_file(home->workers_lock(), false, false);  // a loader that starts now waits for us
  owner.end();
  if (!lock) return fail(lock.is(Code::kBusy) ? "a loader is just starting, or its workers are ending: try again in a moment" : lock.error().text);
  const std::string directory = spool->disk().absolute(options.incoming.empty() ? layout::kIncoming : options.incoming);
  std::optional<InterruptsNoted> interrupts;  // the loader does not follow for nobody
  if (options.wait) interrupts.emplace();
  Followed followed(*home, options.wait, options.files, options.timeout_s);
  int failures = 0;
  std::size_t placed = 0;
  Progress progress("injected", options.files.size());
  for (std::size_t label = 0; label < options.files.size(); ++label) {
    const std::string& file = options.files[label];
    progress.step(label);
    const std::string name = options.random_basename ? fresh_uid() : fs::path(file).filename().string();
    auto from = open_source(file);
    const auto pattern = from && options.step.empty() ? ignoring_pattern(settings.general.watch_of(directory).ignore, name) : std::nullopt;
    if (pattern) {
      failures += fail(file + ": nobody would take it, a file called " + printable(name) + " is ignored ([data] ignore, " + *pattern +
                       "): use --random-basename, or --step");
      continue;
    }
    Result<void> done = from ? owner.begin() : Result<void>(from.error());
    if (done) {
      done = options.step.empty() ? place(from->get(), directory, name, label, followed)
                                  : place_before(from->get(), *spool, file, options.step, name, *tags, label, followed);
      owner.end();
      if (!done) followed.drop(label);
    }
    placed += static_cast<bool>(done);
    if (done && options.move && ::unlink(file.c_str()) != 0) done = system_error(errno, "it was injected, but cannot be removed: " + file);
    if (!done) failures += fail(done.error().text);
    if (!followed.broken() && !InterruptsNoted::any()) continue;
    const std::size_t left = options.files.size() - label - static_cast<std::size_t>(static_cast<bool>(done));
    if (left > 0) failures += fail(counted(left, "file is", "files are") + " not injected, from " + printable(options.files[options.files.size() - left]) + " on");
    break;
  }
  progress.clear();
  lock->close();
  const int waited = options.wait && placed > 0 ? followed.wait(placed) : 0;
  return failures == 0 ? waited : 1;
}

}  // namespace mfdata::tools
