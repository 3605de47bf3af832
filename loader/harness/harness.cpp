// The functions of mfdata/harness.h: arguments are checked here, no exception leaves, everything else is that of the benches.
#include <mfdata/harness.h>

#include <boost/filesystem/path.hpp>
#include <cstring>
#include <map>
#include <new>

#include "harness/listener_bench.hpp"
#include "harness/predicate_bench.hpp"
#include "harness/step_bench.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/printable.hpp"
#include "worker/guarded_call.hpp"
#include "worker/plugin_library.hpp"

using namespace mfdata;

// Benches before what they stand in.
struct mfdata_harness {
  std::string error, home;
  std::unique_ptr<TestRoom> room;
  std::deque<KeptResult> results;
  std::mutex cancel_mutex;  // of `steps` and `cancelled`, since a cancellation comes on any thread
  bool cancelled = false;
  std::map<std::string, std::unique_ptr<StepBench>> steps;
  std::map<std::string, std::vector<std::string>> left;  // uids, by step: they outlive the instance
  std::unique_ptr<ListenerBench> listener;
};

namespace {

constexpr const char* kWriting[] = {"tmp_file", "scratch_dir", "adopt", "deposit_open", "deposit_write", "deposit_commit", "state_dir"};

// As they were in 1.0: less was not filled, or not for this interface.
constexpr std::size_t kLeastOptions = offsetof(mfdata_harness_options, targets) + sizeof(mfdata_harness_options::targets);
constexpr std::size_t kLeastFile = offsetof(mfdata_harness_file, tags) + sizeof(mfdata_harness_file::tags);

Error argument(const std::string& text) { return Error{Code::kBadConfig, 0, text}; }

mfdata_rc rc_of(const Error& error) {
  switch (error.code) {
    case Code::kGone:
    case Code::kNotFound: return MFDATA_E_NOTFOUND;
    case Code::kExists: return MFDATA_E_STATE;
    case Code::kBusy: return MFDATA_E_BUSY;
    case Code::kRefused: return MFDATA_E_ABI;
    case Code::kBadData:
    case Code::kBadConfig: return MFDATA_E_ARG;
    case Code::kNoSpace: return MFDATA_E_FULL;
    case Code::kLimit:
    case Code::kAttribute: return MFDATA_E_LIMIT;
    case Code::kUnsupported: return MFDATA_E_UNSUPPORTED;
    case Code::kForeign:
    case Code::kDestination:
    case Code::kIo: return MFDATA_E_IO;
  }
  return MFDATA_E_IO;
}

// What the libraries throw becomes the error of the harness, too.
template <class Function>
mfdata_rc attempt(mfdata_harness* harness, const Function& function, bool needs_room = true) {
  if (!harness) return MFDATA_E_ARG;
  try {
    harness->error.clear();
    const Result<void> done = harness->room || !needs_room ? function(*harness) : argument("the harness is not open");
    if (done) return MFDATA_OK;
    harness->error = done.error().text;
    return rc_of(done.error());
  } catch (const std::bad_alloc&) {
    harness->error = "no memory";  // short enough to need none
    return MFDATA_E_NOMEM;
  } catch (const std::exception& error) {
    const mfdata_rc rc = code_of_exception();
    try {
      harness->error = error.what();
    } catch (const std::bad_alloc&) {
      harness->error = "no memory";
    }
    return rc;
  } catch (...) {
    harness->error = "an exception";
    return MFDATA_E_IO;
  }
}

// The same of a call that shows a result.
template <class Function>
const mfdata_harness_result* shown(mfdata_harness* harness, const Function& function) {
  const mfdata_harness_result* result = nullptr;
  const auto fill = [&](mfdata_harness& it) -> Result<void> {
    KeptResult& kept = it.results.emplace_back();
    MFDATA_TRY(function(it, kept));
    result = kept.show();
    return {};
  };
  return attempt(harness, fill) == MFDATA_OK ? result : nullptr;
}

std::string text_of(const char* text) { return text ? text : ""; }

std::vector<std::string> words_of(const char* const* list) {
  std::vector<std::string> words;
  for (; list && *list; ++list) words.emplace_back(*list);
  return words;
}

// A structure of the caller, as far as it has filled it.
template <class T>
T copied(const T* from) {
  T copy{};
  if (from) std::memcpy(static_cast<void*>(&copy), from, std::min<std::size_t>(from->struct_size, sizeof copy));
  return copy;
}

Result<RoomOptions> room_options(const mfdata_harness_options& options) {
  RoomOptions room;
  room.plugin = text_of(options.plugin);
  room.entry = options.entry;
  if (options.manifest) room.manifest = options.manifest;
  room.configuration = text_of(options.config);
  room.targets = words_of(options.targets);
  for (const std::string& target : room.targets) {
    const std::size_t slash = target.find('/');
    const bool good = slash != std::string::npos && valid_plugin_name(target.substr(0, slash)) && valid_step_name(target.substr(slash + 1));
    if (!good) return argument("a target is written plugin/step, not \"" + printable(target, 200) + '"');
  }
  room.in_memory = (options.flags & MFDATA_HARNESS_MEMORY) != 0;
  room.keep = (options.flags & MFDATA_HARNESS_KEEP) != 0;
  return room;
}

Result<TestFile> test_file(const mfdata_harness_file* given) {
  if (!given || given->struct_size < kLeastFile) return argument("the struct_size of a file is not set to its sizeof");
  const mfdata_harness_file raw = copied(given);
  TestFile file;
  file.path = text_of(raw.path);
  if (!raw.content.p && raw.content.n) return argument("the content of a file is NULL");
  if (raw.content.n > PTRDIFF_MAX) return argument("the content of a file is longer than memory is");
  if (raw.content.p) file.content.assign(raw.content.p, raw.content.n);
  file.name = raw.name ? raw.name : file.path.empty() ? "file" : boost::filesystem::path(file.path).filename().string();
  if (!can_be_file_name(file.name)) return argument("\"" + printable(file.name, 300) + "\" cannot be the name of a file: at most 255 bytes, without \"/\"");
  for (const std::string& tag : words_of(raw.tags)) {
    const std::size_t equals = tag.find('=');
    if (equals == std::string::npos) return argument("a tag is written NAME=VALUE, not \"" + printable(tag, 200) + '"');
    MFDATA_TRY(file.tags.set(tag.substr(0, equals), tag.substr(equals + 1)));
  }
  return file;
}

Result<StepBench*> bench_of(mfdata_harness& it, const char* name) {
  auto settings = it.room->settings_of(WorkerKind::kStep, text_of(name));
  if (!settings) return settings.error();
  const std::string step = settings->step.dotted();
  if (const auto known = it.steps.find(step); known != it.steps.end()) return known->second.get();
  auto component = find_component(it.room->plugin(), MFDATA_KIND_STEP, settings->step.component);
  if (!component) return component.error();
  auto bench = std::make_unique<StepBench>(*it.room, std::move(*settings), step_table(*component));
  const std::lock_guard lock(it.cancel_mutex);
  if (it.cancelled) bench->cancel();
  return (it.steps[step] = std::move(bench)).get();
}

Result<void> run_uids(mfdata_harness& it, StepBench& bench, const std::vector<std::string>& uids, KeptResult& kept) {
  bench.run(uids, kept);
  it.left[bench.step().dotted()] = bench.left();
  return {};
}

Result<void> rearm(mfdata_harness& it) {
  it.room->faults().clear();
  it.room->page().pressure = 0;
  it.room->page().retry_after_ms = 0;
  it.room->set_deadline(std::nullopt);
  return {};
}

}  // namespace

extern "C" {

mfdata_rc mfdata_harness_open(const mfdata_harness_options* options, mfdata_harness** harness) {
  if (!harness) return MFDATA_E_ARG;
  *harness = nullptr;
  try {
    *harness = new mfdata_harness;
  } catch (const std::bad_alloc&) {
    return MFDATA_E_NOMEM;
  }
  const auto open = [&](mfdata_harness& it) -> Result<void> {
    if (!options || options->struct_size < kLeastOptions) return argument("the struct_size of the options is not set to their sizeof");
    auto wanted = room_options(copied(options));
    if (!wanted) return wanted.error();
    auto room = TestRoom::open(*wanted);
    if (!room) return room.error();
    it.room = std::move(*room);
    it.home = it.room->trial().home().root.string();
    return {};
  };
  return attempt(*harness, open, false);
}

void mfdata_harness_close(mfdata_harness* harness) {
  if (!harness) return;
  (void)attempt(harness, [](mfdata_harness& it) -> Result<void> {
    it.listener.reset();
    KeptResult unseen;
    for (auto& [name, bench] : it.steps) bench->drain(unseen);
    return {};
  });
  delete harness;
}

const char* mfdata_harness_error(const mfdata_harness* harness) { return harness ? harness->error.c_str() : "no memory for a harness"; }
const char* mfdata_harness_home(const mfdata_harness* harness) { return harness ? harness->home.c_str() : ""; }

const mfdata_harness_result* mfdata_harness_run(mfdata_harness* harness, const char* step, const mfdata_harness_file* files, uint32_t n) {
  return shown(harness, [&](mfdata_harness& it, KeptResult& kept) -> Result<void> {
    if (!files || n == 0) return argument("there is no file to run");
    auto bench = bench_of(it, step);
    if (!bench) return bench.error();
    const std::string dotted = (*bench)->step().dotted();
    std::vector<TestFile> all;
    for (uint32_t i = 0; i < n; ++i) {
      auto file = test_file(reinterpret_cast<const mfdata_harness_file*>(reinterpret_cast<const char*>(files) + std::size_t{i} * files->struct_size));
      if (!file) return file.error();
      all.push_back(std::move(*file));
    }
    it.room->discard(dotted, it.left[dotted]);
    std::vector<std::string> uids;
    for (const TestFile& file : all) {
      auto uid = it.room->place(file, dotted);
      if (!uid) return uid.error();
      uids.push_back(*uid);
    }
    return run_uids(it, **bench, uids, kept);
  });
}

const mfdata_harness_result* mfdata_harness_rerun(mfdata_harness* harness, const char* step) {
  return shown(harness, [&](mfdata_harness& it, KeptResult& kept) -> Result<void> {
    auto bench = bench_of(it, step);
    if (!bench) return bench.error();
    const std::vector<std::string> uids = it.left[(*bench)->step().dotted()];
    if (uids.empty()) return Error{Code::kNotFound, 0, "no file of the last run waits before " + (*bench)->step().slashed()};
    MFDATA_TRY(it.room->bring_back((*bench)->step().dotted(), uids));
    return run_uids(it, **bench, uids, kept);
  });
}

const mfdata_harness_result* mfdata_harness_tick(mfdata_harness* harness, const char* step) {
  return shown(harness, [&](mfdata_harness& it, KeptResult& kept) -> Result<void> {
    auto bench = bench_of(it, step);
    if (!bench) return bench.error();
    (*bench)->tick(kept);
    return {};
  });
}

const mfdata_harness_result* mfdata_harness_restart(mfdata_harness* harness) {
  return shown(harness, [&](mfdata_harness& it, KeptResult& kept) -> Result<void> {
    for (auto& [name, bench] : it.steps) bench->drain(kept);
    std::map<std::string, std::unique_ptr<StepBench>> ended;
    {
      const std::lock_guard lock(it.cancel_mutex);
      ended.swap(it.steps);
      it.cancelled = false;
    }
    ended.clear();
    it.room->finish(kept, {});  // what destroy had to say
    return {};
  });
}

const mfdata_harness_result* mfdata_harness_ask(mfdata_harness* harness, const char* predicate, const mfdata_harness_file* file) {
  return shown(harness, [&](mfdata_harness& it, KeptResult& kept) -> Result<void> {
    auto asked = test_file(file);
    if (!asked) return asked.error();
    return ask_predicate(*it.room, text_of(predicate), *asked, kept);
  });
}

mfdata_rc mfdata_harness_start(mfdata_harness* harness, const char* listener) {
  return attempt(harness, [&](mfdata_harness& it) -> Result<void> {
    if (it.listener) return Error{Code::kExists, 0, "a listener runs already: mfdata_harness_stop ends it"};
    auto settings = it.room->settings_of(WorkerKind::kListener, text_of(listener));
    if (!settings) return settings.error();
    auto component = find_component(it.room->plugin(), MFDATA_KIND_LISTENER, settings->step.component);
    if (!component) return component.error();
    auto started = ListenerBench::start(*it.room, std::move(*settings), listener_table(*component));
    if (!started) return Error{Code::kIo, 0, started.error().text};
    it.listener = std::move(*started);
    return {};
  });
}

mfdata_rc mfdata_harness_wait(mfdata_harness* harness, uint32_t n, uint32_t timeout_ms) {
  return attempt(harness, [&](mfdata_harness& it) -> Result<void> {
    if (!it.listener) return Error{Code::kExists, 0, "no listener runs"};
    return it.listener->wait(n, timeout_ms);
  });
}

const mfdata_harness_result* mfdata_harness_stop(mfdata_harness* harness) {
  return shown(harness, [&](mfdata_harness& it, KeptResult& kept) -> Result<void> {
    if (!it.listener) return Error{Code::kExists, 0, "no listener runs"};
    it.listener->stop(kept);
    it.listener.reset();
    return {};
  });
}

mfdata_rc mfdata_harness_fail(mfdata_harness* harness, const char* call, uint32_t number, mfdata_rc code) {
  return attempt(harness, [&](mfdata_harness& it) -> Result<void> {
    const std::string name = text_of(call);
    const auto& known = CallFaults::names();
    if (!name.empty() && std::find(known.begin(), known.end(), name) == known.end()) {
      const auto near = near_miss(name, known);
      return Error{Code::kNotFound, 0,
                   "no call \"" + printable(name, 100) + "\" of mfdata_host can fail" + (near ? ": did you mean \"" + *near + "\"?" : "")};
    }
    if (code > 0) return argument("a call fails with a negative code");
    it.room->faults().add({name, number, code == 0 ? MFDATA_E_IO : code});
    return {};
  });
}

mfdata_rc mfdata_harness_fill_disk(mfdata_harness* harness) {
  return attempt(harness, [](mfdata_harness& it) -> Result<void> {
    for (const char* call : kWriting) it.room->faults().add({call, 0, MFDATA_E_FULL});
    return {};
  });
}

mfdata_rc mfdata_harness_pressure(mfdata_harness* harness, mfdata_rc state, uint32_t retry_after_ms) {
  return attempt(harness, [&](mfdata_harness& it) -> Result<void> {
    if (state != MFDATA_OK && state != MFDATA_E_BUSY && state != MFDATA_E_FULL)
      return argument("the pressure is MFDATA_OK, MFDATA_E_BUSY or MFDATA_E_FULL");
    it.room->page().retry_after_ms = retry_after_ms;
    it.room->page().pressure = state == MFDATA_OK ? 0 : state == MFDATA_E_BUSY ? 1 : 2;
    return {};
  });
}

mfdata_rc mfdata_harness_deadline(mfdata_harness* harness, int64_t timeout_ms) {
  return attempt(harness, [&](mfdata_harness& it) -> Result<void> {
    it.room->set_deadline(timeout_ms < 0 ? std::nullopt : std::optional(static_cast<double>(timeout_ms) / 1000));
    return {};
  });
}

mfdata_rc mfdata_harness_heal(mfdata_harness* harness) { return attempt(harness, rearm); }

mfdata_rc mfdata_harness_cancel(mfdata_harness* harness) {
  if (!harness) return MFDATA_E_ARG;
  const std::lock_guard lock(harness->cancel_mutex);
  harness->cancelled = true;
  for (auto& [name, bench] : harness->steps) bench->cancel();
  return MFDATA_OK;
}

}  // extern "C"
