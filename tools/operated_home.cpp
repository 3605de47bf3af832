#include "operated_home.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <mfdata/wall_clock.hpp>

#include <iostream>

#include "libmfdata/clock.hpp"
#include "libmfdata/clock_file.hpp"

namespace mfdata::tools {

Result<Operated> operate(const std::string& home_option, Reads reads) {
  auto home = find_home(home_option);
  if (!home) return home.error();
  Problems problems;
  Settings settings;
  if (reads == Reads::kEverything) {
    settings = load_settings(*home, problems);
  } else {
    settings.general = load_general_settings(*home, problems);
  }
  for (const Problem& problem : problems) std::cerr << problem.spell() << '\n';
  if (!problems.empty()) return Error{Code::kBadConfig, 0, "the configuration is wrong, see above: mend it first (mfdata check)"};
  auto spool = Spool::open(settings.general.data_dir, settings.general.durability);
  if (!spool) return spool.error();
  return Operated{std::move(*home), std::move(settings), std::move(*spool)};
}

// Others hold it for moments: a command, a collection of at most 3 s, a loader that recovers.
static Result<FileDescriptor> lock_within(const boost::filesystem::path& path, bool exclusive, std::int64_t until_ns) {
  while (true) {
    auto lock = lock_file(path, exclusive, false);
    if (lock || !lock.is(Code::kBusy) || monotonic_ns() > until_ns) return lock;
    ::usleep(50'000);
  }
}

Result<Turn> take_turn(const Operated& at) {
  constexpr std::int64_t kPatienceNs = 10'000'000'000;
  struct stat status {};
  const std::string& data_dir = at.settings.general.data_dir;
  if (::stat(data_dir.c_str(), &status) != 0) return system_error(errno, "cannot look at " + data_dir);
  if (status.st_uid != ::geteuid()) {
    return Error{Code::kRefused, 0, data_dir + " belongs to user " + std::to_string(status.st_uid) + ": run this as that user (sudo -u '#" + std::to_string(status.st_uid) + "')"};
  }
  const std::int64_t until = monotonic_ns() + kPatienceNs;
  auto tools = lock_within(at.home.trash_lock(), true, until);
  if (tools.is(Code::kBusy)) return Error{Code::kBusy, 0, "another mfdata trash or queue, or the collection, is at work in this home: try again when it has ended"};
  if (!tools) return tools.error();
  auto workers = lock_within(at.home.workers_lock(), false, until);
  if (workers.is(Code::kBusy)) return Error{Code::kBusy, 0, "a loader is just starting in this home: try again in a moment"};
  if (!workers) return workers.error();
  return Turn{std::move(*tools), std::move(*workers)};
}

Result<void> check_clock(const Operated& at, bool by_age) {
  if (!by_age || sdk::WallClock::look_s(clock_file(at.home), sdk::ClockReading::now()) == 0) return {};
  return Error{Code::kRefused, 0,
               "nothing is chosen by --older: the clock went forward by more than time has passed, and files seem older than they are. Set the clock right, "
               "or name the files, or wait for an hour"};
}

std::string dotted(std::string step) {
  if (const std::size_t slash = step.find('/'); slash != std::string::npos) step[slash] = '.';
  return step;
}

std::string slashed(std::string step) {
  if (const std::size_t dot = step.find('.'); dot != std::string::npos) step[dot] = '/';
  return step;
}

}  // namespace mfdata::tools
