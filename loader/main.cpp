// mfdata-loader: watches the spool of one home, keeps workers running, and serves metrics and control. Never loads a
// plugin. See doc/design.md.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/filesystem/operations.hpp>
#include <iostream>
#include <set>

#include "libmfdata/home_owner.hpp"
#include "libmfdata/plugin_store.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/recovery.hpp"
#include "loader.hpp"
#include "workers_lock.hpp"

namespace mfdata {
namespace {

int failed(const std::string& text) {
  std::cerr << "mfdata-loader: " << printable(text) << '\n';
  return 1;
}

// Before any thread is made: the signals of the loop are the loop's, not a thread's of the metrics server.
void block_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD, SIGHUP}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGIO, SIG_IGN);  // somebody opens a file for writing while a lease on it is asked for
}

// Commands look at the lock for moments.
Result<FileDescriptor> lock_loader(const Home& home) {
  const std::string note = std::to_string(::getpid()) + '\n';
  auto lock = lock_file(home.loader_lock(), true, false, note);
  for (int look = 0; lock.is(Code::kBusy) && look < 40; ++look) {
    ::usleep(50'000);
    lock = lock_file(home.loader_lock(), true, false, note);
  }
  return lock;
}

// Files that were in hand when the machine itself went down count as crashed: one of them may have done it.
Crash crash_of_last_run(const Home& home, const Settings& settings) {
  const std::string boot = small_file("/proc/sys/kernel/random/boot_id").value_or("");
  const std::string before = small_file(home.boot_id()).value_or(boot);
  Crash crash{before != boot, settings.general.max_crashes, "the machine went down", "", kEveryFile};
  auto file = lock_file(home.boot_id(), true, false, boot);
  (void)file;
  return crash;
}

// What stands in etc/provision is there before anything runs; else: why not.
std::string provision(const Home& home) {
  Problems problems;
  const GeneralSettings general = load_general_settings(home, problems);
  if (!problems.empty()) return "";  // told when everything is read
  std::vector<InstalledPlugin> installed;
  ::sd_notify(0, "EXTEND_TIMEOUT_USEC=600000000");  // a postinstall may take its time
  std::string failures;
  for (const Error& error : provision_plugins(home, general, installed))
    failures += (failures.empty() ? "etc/provision: " : "; ") + printable(error.text);
  for (const InstalledPlugin& plugin : installed)
    std::cerr << "mfdata-loader: installed " << plugin.name << ' ' << plugin.version << " from etc/provision\n";
  return failures;
}

// Of this process, and of all that it starts. A file goes from process to process: where the one that is woken does not interrupt
// the one that wakes it, they take turns on a warm processor. A policy that was chosen for the service stays.
void set_cpu_policy(bool batch, LoaderLog& log) {
  static const int inherited = ::sched_getscheduler(0);  // at the first call
  const int policy = batch && inherited == SCHED_OTHER ? SCHED_BATCH : inherited;
  sched_param param{};
  if (::sched_getscheduler(0) == policy || ::sched_setscheduler(0, policy, &param) == 0) return;
  log.write(Level::kWarning, system_error(errno, "[loader] cpu_policy = \"batch\" is not possible here, \"inherited\" is").text);
}

using ConfigurationPointer = std::shared_ptr<const Configuration>;

// What one loader leaves to the next one.
struct Succession {
  ConfigurationPointer configuration;  // in force
  ConfigurationPointer before;         // to go back to as long as a loader has not started with it; or nullptr
  unsigned generation = 1;
  std::string problem;                 // of a configuration that was not taken up
};

// What was changed while the last files of a loader were finished, and whose reload was answered: as it is on disk now, unless
// something is wrong with it, which is a problem then.
ConfigurationPointer newest(const Home& home, ConfigurationPointer next, std::string& problem) {
  ConfigurationPointer latest = read_configuration(home);
  const Problems& wrong = latest->problems.empty() ? latest->settings.rule_problems : latest->problems;
  if (wrong.empty()) return latest;
  problem = "the configuration was changed once more and has errors, the one before that runs: " + wrong.front().spell();
  return next;
}

// One loader, until it ends; then the configuration for the next one, or nullptr.
Result<ConfigurationPointer> serve(const Home& home, Succession& all, const std::string& program, LoaderMetrics& metrics, ListeningSockets& sockets) {
  const ConfigurationPointer begun_with = all.configuration;  // `settings` is of it
  const Settings& settings = begun_with->settings;
  auto alone = lock_workers_alone(home);
  if (!alone) return alone.error();
  EventLoop loop;
  LoaderLog log(settings.general);
  set_cpu_policy(settings.general.cpu_policy_batch, log);
  log.write_problems(settings);
  boost::system::error_code ignored;
  boost::filesystem::create_directories(settings.general.data_dir, ignored);
  auto spool = Spool::open(settings.general.data_dir, settings.general.durability);
  if (!spool) return spool.error();
  if (spool->any_protection_off()) log.write(Level::kWarning, "MFDATA_TEST_WITHOUT is set: protections are off, files may be lost");
  MFDATA_TRY(prepare_directories(*spool, settings));

  bool all_recovered = true;
  std::set<std::string> in_hand;
  recover_all(
      *spool, crash_of_last_run(home, settings),
      [&](const Slot& slot, const Settled& settled) {
        if (!settled.trashed) in_hand.insert(settled.uid);
        log.write(Level::kInfo, "recovered " + settled.uid + " of " + slot.step + ": " + settled.what);
      },
      [&](const Error& error) {
        all_recovered = false;
        log.write(Level::kError, "not recovered yet, it is tried again: " + error.text);
      });
  alone->close();

  Loader loader(loop, home, begun_with, *spool, log, metrics, sockets, program, !all_recovered, std::move(in_hand));
  MFDATA_TRY(metrics.serve(settings.general.metrics_listen));
  MFDATA_TRY(loader.start(all.generation, std::exchange(all.problem, "")));
  all.before = nullptr;  // whatever ends it from now on is not the configuration's fault
  log.write(Level::kInfo, all.generation == 1 ? "mfdata-loader " MFDATA_VERSION " runs " + home.root.string() + ", process " + std::to_string(::getpid())
                                          : "everything runs with the new configuration");
  ::sd_notify(0, "READY=1");
  MFDATA_TRY(loop.run());  // what is in hand is recovered at the next start
  all.generation = loader.generation();
  ConfigurationPointer next = loader.take_next_configuration();
  if (next && loader.next_is_outdated()) next = newest(home, std::move(next), all.problem);
  all.configuration = loader.configuration();  // what was taken up meanwhile
  if (!next) {
    ::sd_notify(0, "STOPPING=1");
    log.write(Level::kInfo, "stopped");
    return next;
  }
  for (const auto& [plugin, step] : loader.plugins_and_steps()) metrics.forget_step(plugin, step);
  return next;
}

int run(const std::string& home_option) {
  auto home = find_home(home_option);
  if (!home) return failed(home.error().text);
  auto program = find_program("mfdata-worker");
  if (!program) return failed(program.error().text);
  if (auto owner = become_owner(*home); !owner) return failed(owner.error().text);
  block_signals();
  ::umask(077);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  auto lock = lock_loader(*home);
  if (!lock)
    return failed(lock.is(Code::kBusy) ? "a loader of this home is running already, process " + small_file(home->loader_lock()).value_or("?")
                                       : lock.error().text);
  Succession all;
  all.problem = provision(*home);
  all.configuration = read_configuration(*home);
  for (const Problem& problem : all.configuration->problems) std::cerr << problem.spell() << '\n';
  if (!all.configuration->problems.empty()) {
    if (!all.problem.empty()) std::cerr << "mfdata-loader: " << all.problem << '\n';
    return failed("the configuration has errors: mend them, and try \"mfdata check\"");
  }

  LoaderMetrics metrics;
  ListeningSockets sockets;
  for (;; ++all.generation) {
    auto next = serve(*home, all, *program, metrics, sockets);
    if (!next && all.before) {  // the new configuration is right, but cannot be run: the one before can
      all.problem = "the new configuration cannot be used, the one before runs again: " + printable(next.error().text);
      all.configuration = std::exchange(all.before, nullptr);
      continue;
    }
    if (!next) return failed(next.error().text);
    if (!*next) return 0;
    all.before = std::exchange(all.configuration, *next);
  }
}

}  // namespace
}  // namespace mfdata

int main(int argc, char** argv) {
  CLI::App app(
      "Runs the plugins of one home on the files that arrive there. SIGTERM stops it after the files in hand, SIGHUP has it take up a changed "
      "configuration.");
  std::string home;
  app.add_option("--home", home, "the home (default: MFDATA_HOME, or /var/lib/mfdata)");
  app.set_version_flag("--version", MFDATA_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return mfdata::run(home);
}
