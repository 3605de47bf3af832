// inject and generate.
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <iostream>
#include <nlohmann/json.hpp>
#include <cmath>
#include <random>

#include "commands.hpp"
#include "control_client.hpp"
#include "deposited_file.hpp"
#include "libmfdata/delivery.hpp"
#include "libmfdata/settings.hpp"
#include "progress.hpp"

namespace fs = boost::filesystem;

namespace mfdata::tools {
namespace {

// Written under a hidden name beside its place, then renamed: whoever watches sees whole files only.
Result<void> place(const std::string& source, const std::string& directory, const std::string& name, std::vector<fs::path>& placed) {
  auto disk = Disk::open(directory);
  if (!disk) return disk.error();
  auto from = open_source(source);
  if (!from) return from.error();
  const std::string hidden = ".inject-" + fresh_uid();
  auto to = disk->create(hidden);
  if (!to) return to.error();
  auto done = copy_content(from->get(), to->get(), source);
  to->close();
  for (unsigned number = 0; done; ++number) {
    done = disk->rename(hidden, numbered_name(name, number, 0));
    if (done) placed.push_back(fs::path(directory) / numbered_name(name, number, 0));
    if (done) return done;
    if (!done.is(Code::kExists)) break;
    done = {};
  }
  (void)disk->unlink(hidden);
  return done;
}

// Whether a file stands anywhere below. A directory that goes meanwhile may have held some.
Result<bool> holds_files(const fs::path& directory) {
  boost::system::error_code code;
  for (fs::recursive_directory_iterator at(directory, code), end; !code && at != end; at.increment(code)) {
    if (!fs::is_directory(at->symlink_status(code))) return true;
  }
  if (code && code != boost::system::errc::no_such_file_or_directory) return system_error(code.value(), "cannot look into " + directory.string());
  return static_cast<bool>(code);
}

// True when nothing waits before a step, for another attempt, or in a slot; trash and sidecars do not count.
Result<bool> spool_is_empty(const std::string& data_dir, const std::vector<fs::path>& injected) {
  boost::system::error_code code;
  for (const fs::path& path : injected) {
    if (fs::exists(fs::symlink_status(path, code))) return false;
  }
  for (const char* parent : {"", "tmp"}) {
    const fs::path place = fs::path(data_dir) / parent;
    fs::directory_iterator at(place, code);
    for (const fs::directory_iterator end; !code && at != end; at.increment(code)) {
      const std::string name = at->path().filename().string();
      const bool counts = *parent == '\0' ? name.starts_with("step.") : name != "context";
      if (!counts || !fs::is_directory(at->symlink_status(code))) continue;
      auto holds = holds_files(at->path());
      if (!holds || *holds) return holds ? Result<bool>(false) : holds;
    }
    if (code) return system_error(code.value(), "cannot look into " + place.string());
  }
  return true;
}

// Until the spool was seen empty twice, with no file in a worker's hand after either look and no result between: a
// file that moves while it is looked for is found by one of the two, is in a hand, or brings a result.
int wait_for_idle(const Home& home, const std::string& data_dir, const std::vector<fs::path>& injected) {
  const timespec pause{0, 50'000'000};
  std::uint64_t last_results = UINT64_MAX;
  while (true) {
    auto empty = spool_is_empty(data_dir, injected);
    if (!empty) return fail("injected, but it cannot be told when all is treated: " + empty.error().text);
    auto reply = ask_loader(home, R"({"command":"status"})");
    if (!reply) return fail(reply.error().text);
    const auto status = nlohmann::json::parse(*reply, nullptr, false);
    if (!status.is_object()) return fail("the loader's answer is no JSON");
    const std::uint64_t results = status.value("results", std::uint64_t{0});
    const bool idle = *empty && status.value("in_hand", 0) == 0;
    if (idle && results == last_results) return 0;
    last_results = idle ? results : UINT64_MAX;
    ::nanosleep(&pause, nullptr);
  }
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
  auto spool = Spool::open(settings.general.data_dir, settings.general.durability);
  if (!spool) return fail(spool.error().text);
  auto lock = lock_file(home->workers_lock(), false, false);  // a loader that starts now waits for us
  if (!lock) return fail(lock.is(Code::kBusy) ? "a loader is just starting, or its workers are ending: try again in a moment" : lock.error().text);
  const std::string directory = spool->disk().absolute(options.incoming.empty() ? layout::kIncoming : options.incoming);
  int failures = 0;
  std::vector<fs::path> placed;
  Progress progress("injected", options.files.size());
  std::size_t looked_at = 0;
  for (const std::string& file : options.files) {
    progress.step(looked_at++);
    const std::string name = options.random_basename ? fresh_uid() : fs::path(file).filename().string();
    auto done = options.step.empty() ? place(file, directory, name, placed) : deposit(*spool, file, options.step, name, *tags);
    if (done && options.move && ::unlink(file.c_str()) != 0) done = system_error(errno, "it was injected, but cannot be removed: " + file);
    if (!done) failures += fail(done.error().text);
  }
  progress.clear();
  lock->close();
  if (options.wait && failures == 0) return wait_for_idle(*home, settings.general.data_dir, placed);
  return failures == 0 ? 0 : 1;
}

int generate(const GenerateOptions& options) {
  auto disk = Disk::open(options.directory);
  if (!disk) return fail(disk.error().text);
  std::mt19937_64 engine(std::random_device{}());
  std::string block(std::min<std::uint64_t>(options.size, 1 << 20), '\0');
  timespec start;
  ::clock_gettime(CLOCK_MONOTONIC, &start);
  Progress progress("generated", options.count);
  for (std::uint64_t i = 0; i < options.count; ++i) {
    progress.step(i);
    if (options.rate > 0) {
      const double due = static_cast<double>(start.tv_sec) + static_cast<double>(start.tv_nsec) * 1e-9 + static_cast<double>(i) / options.rate;
      const timespec until{static_cast<time_t>(due), static_cast<long>((due - std::floor(due)) * 1e9)};
      ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    }
    const std::string name = "generated-" + fresh_uid();
    auto file = disk->create('.' + name);
    if (!file) return fail(file.error().text);
    for (std::uint64_t left = options.size; left > 0;) {
      std::generate(block.begin(), block.end(), [&] { return static_cast<char>(engine()); });
      const std::uint64_t part = std::min<std::uint64_t>(left, block.size());
      if (auto written = write_all(file->get(), {block.data(), part}, name); !written) {
        (void)disk->unlink('.' + name);
        return fail(written.error().text);
      }
      left -= part;
    }
    file->close();
    if (auto done = disk->rename('.' + name, name); !done) return fail(done.error().text);
  }
  return 0;
}

}  // namespace mfdata::tools
