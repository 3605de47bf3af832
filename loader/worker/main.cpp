// mfdata-worker: one process, one component of one plugin. Started by mfdata-loader; the only program that loads a
// plugin. `mfdata-worker --describe LIBRARY` prints what a library says of itself, for mfdata-plugin.
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <mfdata/wall_clock.hpp>
#include <string>

#include "libmfdata/clock.hpp"
#include "libmfdata/collection.hpp"
#include "libmfdata/foreign_arrival.hpp"
#include "libmfdata/open_writers.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/recovery.hpp"
#include "libmfdata/transaction.hpp"
#include "libmfdata/trash_count.hpp"
#include "wire/worker_settings.hpp"
#include "worker/call_faults.hpp"
#include "worker/callback.hpp"
#include "worker/describe.hpp"
#include "worker/listener_runner.hpp"
#include "worker/plugin_library.hpp"
#include "worker/predicate_runner.hpp"
#include "worker/soundness.hpp"
#include "worker/step_instance.hpp"
#include "worker/step_runner.hpp"
#include "worker/worker_process_setup.hpp"

namespace mfdata {
namespace {

PluginHost* signalled_host = nullptr;  // what a signal handler can reach

void on_stop_signal(int) {
  if (signalled_host) signalled_host->cancel();
}

// A flag, which ends the wait of the channel and which a running step sees by `cancelled`. The loader also says stop on
// the channel, so that a signal between the check of the flag and the wait is not missed.
void handle_signals(PluginHost& host) {
  signalled_host = &host;
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGINT, SIG_IGN);  // of the terminal: the loader decides
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGIO, SIG_IGN);  // somebody opens a file for writing while we ask by a lease whether anybody does
}

unsigned owner_of(const std::string& home) {
  struct stat st;
  return ::stat(home.c_str(), &st) == 0 ? st.st_uid : ::geteuid();
}

std::size_t entries_in(const char* directory) {
  boost::system::error_code code;
  return static_cast<std::size_t>(std::distance(boost::filesystem::directory_iterator(directory, code), boost::filesystem::directory_iterator()));
}

// Of every arena, and what stands beside them.
std::size_t allocated_bytes() {
  const auto all = ::mallinfo2();
  return all.uordblks + all.hblkhd;
}

// What other allocators have.
std::size_t resident_kib() {
  const auto text = small_file("/proc/self/statm");
  const std::size_t pages = text ? std::strtoul(text->c_str() + text->find(' '), nullptr, 10) : 0;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

// A tenth of the cycles pays for what is made once. Each in a host of its own: what a host keeps is not the plugin's.
template <class Table>
Result<void> create_again_and_again(PluginHost& first, const Table& table, unsigned cycles) {
  constexpr std::int64_t kEnough_ns = 20'000'000'000;  // of a plugin that starts slowly, below the time in which a worker has to be ready
  const std::int64_t until = monotonic_ns() + kEnough_ns;
  const unsigned unmeasured = cycles / 10;
  std::size_t files = 0, threads = 0, bytes = 0, kib = 0;
  unsigned cycle = 0;
  for (; cycle < cycles && (cycle <= unmeasured || monotonic_ns() < until); ++cycle) {
    if (cycle == unmeasured) {
      files = entries_in("/proc/self/fd");
      threads = entries_in("/proc/self/task");
      bytes = allocated_bytes();
      kib = resident_kib();
    }
    void* self = nullptr;
    PluginHost host(first.spool(), first.settings(), first.progress());
    const mfdata_init* init = host.init_for_create();
    mfdata_rc rc = MFDATA_FAIL;
    {
      const Callback callback(host, wire::Call::kCreate);
      if (table.create) rc = table.create(init, &self);
      if (rc == MFDATA_OK && table.destroy) table.destroy(self, &host);
    }
    if (rc != MFDATA_OK) return Error{Code::kBadConfig, 0, "the plugin does not start: " + host.create_error()};
  }
  const auto more = [](std::size_t now, std::size_t before) { return static_cast<long>(now) - static_cast<long>(before); };
  std::fprintf(stderr, "<6>trial: instances %u files %ld threads %ld bytes %ld kib %ld\n", cycle - unmeasured, more(entries_in("/proc/self/fd"), files),
               more(entries_in("/proc/self/task"), threads), more(allocated_bytes(), bytes), more(resident_kib(), kib));
  return {};
}

Result<void> run_component(const Spool& spool, PluginHost& host, Channel& channel) {
  const wire::WorkerSettings& settings = host.settings();
  auto plugin = load_plugin(settings.library, owner_of(settings.home));
  if (!plugin) return plugin.error();
  const bool is_step = settings.step.kind == WorkerKind::kStep;
  auto component = find_component(*plugin, is_step ? MFDATA_KIND_STEP : MFDATA_KIND_LISTENER, settings.step.component);
  if (!component) return component.error();
  if (!is_step && settings.trial.cycles > 0) return create_again_and_again(host, listener_table(*component), settings.trial.cycles);
  if (!is_step) return run_listener(host, channel, listener_table(*component));
  const Slot slot{settings.step.dotted(), settings.slot};
  const mfdata_step step = step_table(*component);
  if (settings.trial.cycles > 0) return create_again_and_again(host, step, settings.trial.cycles);
  if (settings.trial.cancelled) host.cancel_softly();
  Soundness soundness;
  soundness.watch(spool.disk().descriptor(), "the spool");
  soundness.watch(channel.descriptor(), "the channel to the loader");
  host.connect(channel);
  StepRunner runner(spool, slot, host, channel, step, soundness);
  MFDATA_TRY(runner.create());
  channel.send(wire::Ready{(*plugin)->version, step.process_batch ? settings.step.batch_max_size : 0});
  runner.run();
  return {};
}

Result<void> make_listener(PluginHost& host, const mfdata_listener& listener) {
  if (!listener.create || !listener.run || !listener.stop) return Error{Code::kRefused, 0, "the listener has no create, run or stop"};
  void* self = nullptr;
  const mfdata_init* init = host.init_for_create();
  mfdata_rc made = MFDATA_FAIL;
  {
    const Callback callback(host, wire::Call::kCreate);
    made = listener.create(init, &self);
  }
  if (made != MFDATA_OK) return Error{Code::kBadConfig, 0, "the plugin does not start: " + host.create_error()};
  if (!listener.destroy) return {};
  const Callback callback(host, wire::Call::kDestroy);
  listener.destroy(self, &host);
  return {};
}

// Not for what a plugin starts.
Channel inherited_channel() {
  ::fcntl(wire::kChannel, F_SETFD, FD_CLOEXEC);
  return Channel(lasting(FileDescriptor(wire::kChannel)));
}

Result<void> try_start(const wire::WorkerSettings& settings, wire::ProgressPage& progress) {
  MFDATA_TRY(set_up_process(Home{settings.home}, settings.step.limits, false));
  Channel channel = inherited_channel();
  auto spool = Spool::open(settings.data_dir, settings.durability);  // an empty one
  if (!spool) return spool.error();
  MFDATA_TRY(spool->prepare_slot(Slot{settings.step.dotted(), settings.slot}));  // a scratch directory is there
  auto plugin = load_plugin(settings.library, owner_of(settings.home));
  if (!plugin) return plugin.error();
  const bool is_step = settings.step.kind == WorkerKind::kStep;
  auto component = find_component(*plugin, is_step ? MFDATA_KIND_STEP : MFDATA_KIND_LISTENER, settings.step.component);
  if (!component) return component.error();
  PluginHost host(*spool, settings, progress);
  handle_signals(host);
  if (is_step) {
    StepInstance instance(host, step_table(*component));
    MFDATA_TRY(instance.create());
  } else {
    MFDATA_TRY(make_listener(host, listener_table(*component)));
  }
  channel.send(wire::Ready{(*plugin)->version, 0});
  return {};
}

Result<void> reap(const Spool& spool, const wire::WorkerSettings& settings, Channel& channel) {
  const Crash crash{settings.count_crash, settings.max_crashes, settings.crash_reason, settings.plugin_version, settings.crash_in_hand};
  return reap_slot(spool, Slot{settings.step.dotted(), settings.slot}, crash,
                   [&](const Slot&, const Settled& settled) {
                     channel.send(wire::SettledFile{settled.uid, settled.crashes, settled.trashed, settled.what, settled.delivered});
                   });
}

// Accepts that an earlier process left unfinished come first: they may be of the same files.
Result<void> accept_all(const Spool& spool, const PluginHost& host, Channel& channel) {
  const wire::WorkerSettings& settings = host.settings();
  Result<void> first;
  for (const auto& left : {roll_forward_all(spool, settings.step.dotted() + ".accept."), recover_accepts(spool, false, settings.foreign_quiet_s)}) {
    if (!left && first) first = Error{left.error().code, left.error().errnum, "an earlier accept is not finished: " + left.error().text};
  }
  SeenWriters writers({settings.arrival_names.begin(), settings.arrival_names.end()});
  ForeignRules rules{settings.max_file_size, [&](const struct stat& file) { return writers.writes(file); }, false};
  for (std::size_t i = 0; i < settings.arrival_names.size() && !host.cancelled(); ++i) {
    rules.quiet = i < settings.arrival_quiet.size() && settings.arrival_quiet[i] != 0;
    const std::string uid = fresh_uid();
    wire::Accepted announced{uid, 0, 0, false};
    if (settings.traced) {  // before its step can have it
      if (auto source = spool.disk().status(settings.arrival_directories[i] + '/' + settings.arrival_names[i])) {
        announced.device = source->st_dev;
        announced.inode = source->st_ino;
        channel.send(announced);
      }
    }
    auto accepted = accept_foreign(spool, settings.step.dotted(), settings.arrival_directories[i], settings.arrival_names[i], rules, uid);
    announced.taken = true;
    if (accepted && announced.inode != 0) channel.send(announced);
    wire::Done done;
    done.id = static_cast<std::uint32_t>(i);
    if (!accepted) {
      done.outcome = outcome_of(accepted.error().code);
      done.reason = accepted.error().text;
    }
    channel.report(std::move(done));
  }
  channel.flush();
  return first;
}

// A commit of a queue command or of a collection is left to it while it is at work.
Result<void> roll_stray(const Spool& spool, const wire::WorkerSettings& settings) {
  const auto lock = lock_file(Home{settings.home}.trash_lock(), true, false);
  if (!lock) return lock.is(Code::kBusy) ? Result<void>() : lock.error();
  Result<void> first;
  for (const std::string& id : settings.arrival_names) {
    auto rolled = roll_forward(spool, id);
    if (!rolled && !rolled.is(Code::kBusy) && first) first = rolled;
  }
  return first;
}

// Of each step, as a gauge.
void tell_trash(const std::map<std::string, std::size_t>& of_steps, Channel& channel) {
  std::vector<wire::MetricDelta> deltas;
  std::uint64_t all = 0;
  for (const auto& [step, files] : of_steps) {
    all += files;
    deltas.push_back({MFDATA_GAUGE, "trash_files", "", {{"step", step}}, {}, static_cast<double>(files)});
  }
  channel.send_metrics(std::move(deltas));
  channel.send(wire::TrashCount{all});
}

// Says on its output what it did. Nothing is old while wall time cannot be believed; the loader says so.
Result<void> collect_old(const Spool& spool, const PluginHost& host, Channel& channel) {
  constexpr std::int64_t kBudgetNs = 2'000'000'000;  // for trash, and for the rest: the loader has other chores, and people wait for the lock
  const wire::WorkerSettings& settings = host.settings();
  const Home home{settings.home};
  const auto lock = lock_file(home.trash_lock(), true, false);
  if (!lock) return lock.is(Code::kBusy) ? Result<void>() : lock.error();  // somebody is at the trash: the next time
  const auto now = sdk::ClockReading::now();
  const bool believed = settings.age_is_believed;
  std::int64_t until = monotonic_ns() + kBudgetNs;
  const auto go_on = [&] { return !host.cancelled() && monotonic_ns() < until; };
  const Collected collected =
      collect(spool, believed ? settings.lifetimes : Lifetimes{}, settings.live_slots, now.wall_s, go_on, [&] { until = monotonic_ns() + kBudgetNs; });
  if (collected.in_trash) {
    until = monotonic_ns() + kBudgetNs;
    if (const auto counts = count_trash(spool, go_on)) tell_trash(*counts, channel);
  }
  const auto say = [](std::size_t number, const char* what) {
    if (number > 0) std::fprintf(stderr, "<6>%zu %s\n", number, what);
  };
  say(collected.purged, "files in trash were older than trash_max_lifetime and are removed");
  say(collected.expired, "waiting files were older than backlog_max_lifetime and went to trash");
  say(collected.forgotten, "keys of deposits were older than idempotency_window and are forgotten");
  say(collected.released, "slots of commands that were killed are settled");
  say(collected.swept, "scratch directories of dead slots are emptied");
  for (const std::string& problem : collected.problems) std::fprintf(stderr, "<4>cannot collect: %s\n", printable(problem).c_str());
  return {};
}

Result<void> run_task(const wire::WorkerSettings& settings, wire::ProgressPage& progress, const Surroundings& surroundings) {
  if (settings.task == wire::Task::kTryStart) return try_start(settings, progress);
  MFDATA_TRY(set_up_process(Home{settings.home}, settings.task == wire::Task::kRun ? settings.step.limits : ResourceLimits{}));
  auto spool = Spool::open(settings.data_dir, settings.durability);
  if (!spool) return spool.error();
  PluginHost host(*spool, settings, progress, surroundings);
  Channel channel = inherited_channel();
  handle_signals(host);
  switch (settings.task) {
    case wire::Task::kRun: return run_component(*spool, host, channel);
    case wire::Task::kReap: return reap(*spool, settings, channel);
    case wire::Task::kAcceptForeign: return accept_all(*spool, host, channel);
    case wire::Task::kCollect: return collect_old(*spool, host, channel);
    case wire::Task::kPredicates: return run_predicates(*spool, settings, progress, channel, owner_of(settings.home), surroundings);
    case wire::Task::kRollForward: return roll_stray(*spool, settings);
    case wire::Task::kTryStart: break;  // above
  }
  return {};
}

// With a call that fails: says how many there were.
Result<void> run_trial(const wire::WorkerSettings& settings, wire::ProgressPage& progress) {
  CallFaults faults;
  faults.add({"", settings.trial.fail_call});
  Surroundings surroundings;
  surroundings.faults = &faults;
  auto done = run_task(settings, progress, surroundings);
  std::fprintf(stderr, "<6>trial: %llu calls\n", static_cast<unsigned long long>(faults.calls()));
  return done;
}

Result<wire::WorkerSettings> inherited_settings() {
  auto text = read_all(wire::kSettings, std::size_t{64} << 20, "the settings of a worker");
  if (!text) return Error{Code::kBadData, 0, "mfdata-worker is started by mfdata-loader; see mfdata-worker --help"};
  ::close(wire::kSettings);
  return wire::decode_settings(*text);
}

int failed(const Error& error) {
  std::fprintf(stderr, "<3>%s\n", printable(error.text).c_str());
  return error.code == Code::kRefused || error.code == Code::kNotFound || error.code == Code::kBadConfig ? 3 : 1;
}

int run() {
  auto settings = inherited_settings();
  if (!settings) return failed(settings.error());
  void* shared = ::mmap(nullptr, sizeof(wire::ProgressPage), PROT_READ | PROT_WRITE, MAP_SHARED, wire::kProgress, 0);
  if (shared == MAP_FAILED) return failed(system_error(errno, "cannot map the progress page"));
  ::close(wire::kProgress);
  auto& progress = *static_cast<wire::ProgressPage*>(shared);
  auto done = settings->trial.fail_call > 0 ? run_trial(*settings, progress) : run_task(*settings, progress, {});
  progress.call = static_cast<std::uint32_t>(wire::Call::kExit);  // what the plugin has left for it may hang
  progress.called_ns = static_cast<std::uint64_t>(monotonic_ns());
  return done ? 0 : failed(done.error());
}

}  // namespace
}  // namespace mfdata

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--describe") == 0) return mfdata::describe(argv[2]);
  if (argc > 1) {
    std::puts("mfdata-worker runs one component of a plugin; mfdata-loader starts it.\n"
              "  mfdata-worker --describe LIBRARY   prints what a plugin library says of itself, as JSON");
    return argc == 2 && std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  return mfdata::run();
}
