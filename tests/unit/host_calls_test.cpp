// What the host makes of wrong arguments, of wrong moments and of results, seen by a plugin in C that runs in the harness.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/filesystem/operations.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <mfdata/harness.hpp>
#include <thread>

namespace fs = boost::filesystem;
using namespace mfdata::harness;

namespace {

// The call that is under way, for the body that a test gives.
struct Call {
  const mfdata_host* host;
  mfdata_ctx* ctx;
  std::vector<mfdata_file*> files;
  mfdata_rc* each;
};
std::function<mfdata_rc(const Call&)> body;
std::function<void(const mfdata_init&)> at_create;
const mfdata_host* host = nullptr;
std::atomic<bool> stopped{false};

mfdata_str c(std::string_view text) { return {text.data(), text.size()}; }
std::string text_of(mfdata_str text) { return std::string(text.p, text.n); }

mfdata_rc create(const mfdata_init* init, void** self) {
  host = init->host;
  stopped = false;
  *self = init->ctx;
  if (at_create) at_create(*init);
  return MFDATA_OK;
}
mfdata_rc process(void*, mfdata_ctx* ctx, mfdata_file* file) { return body({host, ctx, {file}, nullptr}); }
mfdata_rc process_batch(void*, mfdata_ctx* ctx, mfdata_file* const* files, uint32_t n, mfdata_rc* each) {
  return body({host, ctx, {files, files + n}, each});
}
mfdata_rc run(void*, mfdata_ctx* ctx) {
  const mfdata_rc rc = body({host, ctx, {}, nullptr});
  while (!stopped) ::usleep(1000);
  return rc;
}
void stop(void*) { stopped = true; }
void destroy(void*, mfdata_ctx*) {}

constexpr mfdata_step kStep = {sizeof(mfdata_step), 0, create, process, nullptr, nullptr, nullptr, nullptr, destroy};
constexpr mfdata_step kBatch = {sizeof(mfdata_step), 0, create, nullptr, process_batch, nullptr, nullptr, nullptr, destroy};
constexpr mfdata_listener kListener = {sizeof(mfdata_listener), 0, create, run, stop, destroy, nullptr, nullptr, nullptr};
constexpr mfdata_component kMain = {sizeof(mfdata_component), MFDATA_KIND_STEP, "main", "", &kStep};
constexpr mfdata_component kOfBatches = {sizeof(mfdata_component), MFDATA_KIND_STEP, "batch", "", &kBatch};
constexpr mfdata_component kSource = {sizeof(mfdata_component), MFDATA_KIND_LISTENER, "source", "", &kListener};
constexpr const mfdata_component* kComponents[] = {&kMain, &kOfBatches, &kSource};
constexpr mfdata_plugin kPlugin = {sizeof(mfdata_plugin), MFDATA_ABI_MAJOR, MFDATA_ABI_MINOR, 0, "host-calls", "1.0.0", "", "", "1.0", kComponents, 3, 0, nullptr};
const mfdata_plugin* entry() { return &kPlugin; }

Options probe() {
  Options options;
  options.entry = entry;
  options.manifest =
      "[plugin]\nname = \"host-calls\"\nversion = \"1.0.0\"\nlibrary = \"none\"\n[step.main]\nretry_total = 1\n"
      "[step.batch]\nretry_total = 1\nmax_size = 8\n[listener.source]\n[custom]\nword = \"a word\"\nlist = [\"one\", 2]\n";
  options.targets = {"archive/main"};
  return options;
}

Result process_one(Harness& harness, std::function<mfdata_rc(const Call&)> does, const File& file = {"content", "f"}) {
  body = std::move(does);
  at_create = nullptr;
  return harness.run(file, "main");
}

// What a listener does from its `run`.
Result listen(Harness& harness, std::function<void(const Call&)> does) {
  body = [&](const Call& call) {
    does(call);
    return MFDATA_OK;
  };
  at_create = nullptr;
  harness.start("source");
  return harness.stop();
}

constexpr std::size_t kHuge = SIZE_MAX;

}  // namespace

TEST_CASE("a text of impossible length, or NULL with a length, is a wrong argument and throws nothing") {
  Harness harness(probe());
  const Result result = process_one(harness, [](const Call& call) {
    const mfdata_host& h = *call.host;
    mfdata_file* file = call.files[0];
    for (const mfdata_str wrong : {mfdata_str{"x", kHuge}, mfdata_str{nullptr, 1}, mfdata_str{nullptr, kHuge}}) {
      mfdata_str text{};
      std::int64_t number = 0;
      double real = 0;
      std::uint64_t count = 0;
      mfdata_file* made = nullptr;
      mfdata_delivery how{};
      how.struct_size = sizeof how;
      how.basename = wrong;
      CHECK(h.tag_get(call.ctx, file, wrong, &text) == MFDATA_E_ARG);
      CHECK(h.tag_set(call.ctx, file, wrong, c("v")) == MFDATA_E_ARG);
      CHECK(h.tag_set(call.ctx, file, c("n"), wrong) == MFDATA_E_ARG);
      CHECK(h.tag_delete(call.ctx, file, wrong) == MFDATA_E_ARG);
      CHECK(h.tag_set_hop(call.ctx, file, wrong, c("v"), 0) == MFDATA_E_ARG);
      CHECK(h.tag_set_hop(call.ctx, file, c("n"), wrong, 0) == MFDATA_E_ARG);
      CHECK(h.tag_get_latest(call.ctx, file, wrong, c(""), c("n"), &text) == MFDATA_E_ARG);
      CHECK(h.tag_get_latest(call.ctx, file, c(""), wrong, c("n"), &text) == MFDATA_E_ARG);
      CHECK(h.config_text(call.ctx, wrong, &text) == MFDATA_E_ARG);
      CHECK(h.config_integer(call.ctx, wrong, &number) == MFDATA_E_ARG);
      CHECK(h.config_real(call.ctx, wrong, &real) == MFDATA_E_ARG);
      CHECK(h.config_count(call.ctx, wrong, &count) == MFDATA_E_ARG);
      CHECK(h.config_key(call.ctx, wrong, 0, &text) == MFDATA_E_ARG);
      CHECK(h.adopt(call.ctx, wrong, nullptr, &made) == MFDATA_E_ARG);
      CHECK(h.emit(call.ctx, file, MFDATA_OP_MOVE, wrong) == MFDATA_E_ARG);
      CHECK(h.deliver(call.ctx, file, MFDATA_OP_MOVE, wrong, nullptr) == MFDATA_E_ARG);
      CHECK(h.deliver(call.ctx, file, MFDATA_OP_MOVE, c("/tmp"), &how) == MFDATA_E_ARG);
      CHECK(h.set_file_error(call.ctx, file, wrong, 0) == MFDATA_E_ARG);
      CHECK(h.set_error(call.ctx, 42, wrong) == 42);
      h.log(call.ctx, MFDATA_LOG_INFO, wrong);
      CHECK(h.metric_new(call.ctx, MFDATA_COUNTER, wrong, c(""), nullptr, 0, nullptr, 0, &count) == MFDATA_E_ARG);
      CHECK(h.metric_new(call.ctx, MFDATA_COUNTER, c("n"), wrong, nullptr, 0, nullptr, 0, &count) == MFDATA_E_ARG);
      CHECK(h.metric_new(call.ctx, MFDATA_COUNTER, c("n"), c(""), &wrong, 1, nullptr, 0, &count) == MFDATA_E_ARG);
      CHECK(h.metric_add(call.ctx, 1, 1, &wrong, 1) == MFDATA_E_ARG);
    }
    return MFDATA_OK;
  });
  CHECK(result.outcome == "ok");
  CHECK(result.outputs.empty());
}

TEST_CASE("NULL in place of a context, a file or a place for the answer is a wrong argument") {
  Harness harness(probe());
  process_one(harness, [](const Call& call) {
    const mfdata_host& h = *call.host;
    mfdata_str text{};
    mfdata_file* made = nullptr;
    CHECK(h.file_path(call.ctx, call.files[0], nullptr) == MFDATA_E_ARG);
    CHECK(h.file_path(call.ctx, nullptr, &text) == MFDATA_E_ARG);
    CHECK(h.tag_get(call.ctx, call.files[0], c("n"), nullptr) == MFDATA_E_ARG);
    CHECK(h.tag_each(call.ctx, call.files[0], nullptr, nullptr) == MFDATA_E_ARG);
    CHECK(h.tmp_file(call.ctx, nullptr, nullptr) == MFDATA_E_ARG);
    CHECK(h.tmp_file(call.ctx, reinterpret_cast<mfdata_file*>(&text), &made) == MFDATA_E_ARG);
    CHECK(h.config_text(nullptr, c("word"), &text) == MFDATA_E_ARG);
    CHECK(h.config_text(call.ctx, c("word"), nullptr) == MFDATA_E_ARG);
    CHECK(h.query(nullptr, "x", 0) == nullptr);
    CHECK(h.query(call.ctx, nullptr, 0) == nullptr);
    CHECK(h.pressure(nullptr, nullptr) == MFDATA_E_ARG);
    return MFDATA_OK;
  });
}

TEST_CASE("an exception of a visitor of tags does not pass through the host") {
  Harness harness(probe());
  process_one(harness, [](const Call& call) {
    const auto visit = [](void*, mfdata_str, mfdata_str) -> mfdata_rc { throw std::bad_alloc(); };
    mfdata_rc rc = MFDATA_OK;
    CHECK_NOTHROW(rc = call.host->tag_each(call.ctx, call.files[0], visit, nullptr));
    CHECK(rc == MFDATA_E_EXCEPTION);
    return MFDATA_OK;
  });
}

TEST_CASE("a deposit that was committed or aborted is told from a live one, and nothing is freed twice") {
  Harness harness(probe());
  const Result result = listen(harness, [](const Call& call) {
    const mfdata_host& h = *call.host;
    mfdata_deposit *one = nullptr, *other = nullptr;
    REQUIRE(h.deposit_open(call.ctx, c("archive/main"), c("one"), nullptr, &one) == MFDATA_OK);
    CHECK(h.deposit_write(call.ctx, one, "x", 1) == MFDATA_OK);
    CHECK(h.deposit_write(call.ctx, one, nullptr, 1) == MFDATA_E_ARG);
    CHECK(h.deposit_write(call.ctx, one, "x", kHuge) == MFDATA_E_ARG);
    CHECK(h.deposit_tag(call.ctx, one, {"n", kHuge}, c("v")) == MFDATA_E_ARG);
    CHECK(h.deposit_tag(call.ctx, one, c("n"), {nullptr, 2}) == MFDATA_E_ARG);
    CHECK(h.deposit_commit(call.ctx, one, nullptr, nullptr) == MFDATA_OK);
    REQUIRE(h.deposit_open(call.ctx, c("archive/main"), c("other"), nullptr, &other) == MFDATA_OK);
    CHECK(other != one);  // a stale handle never means a later deposit
    CHECK(h.deposit_commit(call.ctx, one, nullptr, nullptr) == MFDATA_E_STATE);
    CHECK(h.deposit_write(call.ctx, one, "x", 1) == MFDATA_E_STATE);
    CHECK(h.deposit_tag(call.ctx, one, c("n"), c("v")) == MFDATA_E_STATE);
    h.deposit_abort(call.ctx, one);
    h.deposit_abort(call.ctx, other);
    h.deposit_abort(call.ctx, other);
    CHECK(h.deposit_commit(call.ctx, other, nullptr, nullptr) == MFDATA_E_STATE);
    int stranger = 0;
    CHECK(h.deposit_write(call.ctx, reinterpret_cast<mfdata_deposit*>(&stranger), "x", 1) == MFDATA_E_ARG);
    CHECK(h.deposit_commit(call.ctx, nullptr, nullptr, nullptr) == MFDATA_E_ARG);
    h.deposit_abort(call.ctx, nullptr);
    h.deposit_abort(nullptr, one);
  });
  REQUIRE(result.outputs.size() == 1);
  CHECK(result.outputs[0].content == "x");
}

TEST_CASE("of threads that commit, write and abort one deposit at the same time one ends it, and the others are told so") {
  Harness harness(probe());
  std::atomic<int> committed{0}, late{0}, other{0};
  const Result result = listen(harness, [&](const Call& call) {
    for (int round = 0; round < 50; ++round) {
      mfdata_deposit* deposit = nullptr;
      REQUIRE(call.host->deposit_open(call.ctx, c("archive/main"), c(""), nullptr, &deposit) == MFDATA_OK);
      std::vector<std::thread> threads;
      for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
          const mfdata_rc rc = thread % 2 == 0 ? call.host->deposit_write(call.ctx, deposit, "xy", 2) : call.host->deposit_commit(call.ctx, deposit, nullptr, nullptr);
          if (rc == MFDATA_OK && thread % 2 == 1) ++committed;
          if (rc == MFDATA_E_STATE) ++late;
          if (rc != MFDATA_OK && rc != MFDATA_E_STATE) ++other;
        });
      }
      for (std::thread& thread : threads) thread.join();
    }
  });
  CHECK(committed == 50);
  CHECK(late >= 50);
  CHECK(other == 0);
  CHECK(result.outputs.size() == 50);
}

TEST_CASE("a deposit that is left open when its listener ends leaves nothing in the spool") {
  Harness harness(probe());
  listen(harness, [](const Call& call) {
    mfdata_deposit* deposit = nullptr;
    REQUIRE(call.host->deposit_open(call.ctx, c("archive/main"), c("x"), nullptr, &deposit) == MFDATA_OK);
    CHECK(call.host->deposit_write(call.ctx, deposit, "x", 1) == MFDATA_OK);
  });
  int rooms = 0;
  for (fs::recursive_directory_iterator at(harness.home()), end; at != end; ++at) {
    rooms += at->path().string().ends_with("/tmp/accept");
    CHECK(at->path().parent_path().filename() != "accept");
  }
  CHECK(rooms == 1);
}

TEST_CASE("the name of a deposit is one name in a directory, or a wrong argument") {
  Harness harness(probe());
  const std::string longest(255, 'n');
  const Result result = listen(harness, [&](const Call& call) {
    const std::string too_long(256, 'n');
    for (const std::string_view name : {std::string_view("a/b"), std::string_view("/"), std::string_view("."), std::string_view(".."), std::string_view("a\0b", 3), std::string_view(too_long)}) {
      mfdata_deposit* deposit = nullptr;
      CHECK(call.host->deposit_open(call.ctx, c("archive/main"), c(name), nullptr, &deposit) == MFDATA_E_ARG);
      CHECK(deposit == nullptr);
    }
    for (const std::string_view name : {std::string_view(longest), std::string_view("...")}) {
      mfdata_deposit* deposit = nullptr;
      REQUIRE(call.host->deposit_open(call.ctx, c("archive/main"), c(name), nullptr, &deposit) == MFDATA_OK);
      CHECK(call.host->deposit_commit(call.ctx, deposit, nullptr, nullptr) == MFDATA_OK);
    }
  });
  REQUIRE(result.outputs.size() == 2);
  CHECK(result.outputs[0].name == longest);
}

TEST_CASE("a structure that is smaller than it was in 1.0 is a wrong argument") {
  Harness harness(probe());
  const Result result = process_one(harness, [&](const Call& call) {
    mfdata_delivery how{};
    for (const std::uint32_t size : {0u, 4u, 16u, static_cast<std::uint32_t>(sizeof how) - 1}) {
      how.struct_size = size;
      CHECK(call.host->deliver(call.ctx, call.files[0], MFDATA_OP_COPY, c(harness.home()), &how) == MFDATA_E_ARG);
    }
    how.struct_size = sizeof how;
    CHECK(call.host->deliver(call.ctx, call.files[0], MFDATA_OP_COPY, c(harness.home()), &how) == MFDATA_OK);
    const auto* rules = static_cast<const mfdata_rules*>(call.host->query(call.ctx, MFDATA_RULES, 0));
    mfdata_rule rule{};
    for (const std::uint32_t size : {0u, 8u, 88u}) {
      rule.struct_size = size;
      CHECK(rules->get(call.ctx, 0, &rule) == MFDATA_E_ARG);
    }
    rule.struct_size = sizeof rule;
    CHECK(rules->get(call.ctx, 0, &rule) == MFDATA_E_NOTFOUND);
    return MFDATA_OK;
  });
  CHECK(result.outputs.size() == 1);

  mfdata_harness_options options{};
  mfdata_harness* opened = nullptr;
  options.entry = entry;
  for (const std::uint32_t size : {0u, 8u, static_cast<std::uint32_t>(sizeof options) - 8}) {
    options.struct_size = size;
    CHECK(mfdata_harness_open(&options, &opened) == MFDATA_E_ARG);
    CHECK(std::strstr(mfdata_harness_error(opened), "struct_size") != nullptr);
    mfdata_harness_close(opened);
  }
  mfdata_harness_file file{};
  for (const std::uint32_t size : {0u, static_cast<std::uint32_t>(sizeof file) - 8}) {
    file.struct_size = size;
    CHECK(mfdata_harness_run(harness.get(), "main", &file, 1) == nullptr);
    CHECK(std::strstr(mfdata_harness_error(harness.get()), "struct_size") != nullptr);
  }
}

TEST_CASE("every text of the host has a zero byte behind its end") {
  Harness harness(probe());
  int texts = 0;
  const auto check = [&](mfdata_str text) {
    ++texts;
    CHECK(text.p[text.n] == '\0');
  };
  bool seen = false;
  body = [&](const Call& call) {
    const mfdata_host& h = *call.host;
    mfdata_str text{};
    const auto got = [&](mfdata_rc rc) {
      CHECK(rc == MFDATA_OK);
      check(text);
    };
    check(h.name);
    check(h.version);
    got(h.file_path(call.ctx, call.files[0], &text));
    for (const char* path : {"word", "list[0]", "list[1]"}) got(h.config_text(call.ctx, c(path), &text));
    got(h.config_key(call.ctx, c(""), 0, &text));
    got(h.scratch_dir(call.ctx, &text));
    CHECK(h.tag_set_hop(call.ctx, call.files[0], c("kind"), c("of a hop"), 0) == MFDATA_OK);
    got(h.tag_get(call.ctx, call.files[0], c("first.core.original_basename"), &text));
    got(h.tag_get_latest(call.ctx, call.files[0], c(""), c(""), c("kind"), &text));
    struct State {
      const std::function<void(mfdata_str)> check;
      std::string names;
    } state{check, {}};
    const auto visit = [](void* user, mfdata_str name, mfdata_str value) -> mfdata_rc {
      auto& at = *static_cast<State*>(user);
      at.check(name);
      at.check(value);
      at.names += std::string(name.p, name.n) + '=' + value.p + ' ';
      return MFDATA_OK;
    };
    CHECK(h.tag_each(call.ctx, call.files[0], visit, &state) == MFDATA_OK);
    CHECK(state.names.find("latest.host-calls.main.kind=of a hop ") != std::string::npos);
    seen = true;
    return MFDATA_OK;
  };
  at_create = [&](const mfdata_init& init) {
    check(init.plugin_name);
    check(init.step_name);
    check(init.plugin_dir);
  };
  harness.run({"content", "f"}, "main");
  CHECK(seen);
  CHECK(texts > 20);
}

TEST_CASE("an error of the system that a step hands on is a retry, every other error is a failure") {
  Harness harness(probe());
  for (const mfdata_rc code : {MFDATA_E_IO, MFDATA_E_NOMEM, MFDATA_E_BUSY}) {
    const Result retried = process_one(harness, [&](const Call&) { return code; });
    CHECK(retried.outcome == "retried");
    CHECK(retried.ends[0].code == code);
    CHECK(retried.reason == "the step returned " + std::to_string(code));
    const Result failed = harness.rerun("main");  // retry_total is 1
    CHECK(failed.outcome == "failed");
    CHECK(failed.ends[0].fate == "trash");
  }
  for (const mfdata_rc code : {MFDATA_E_ARG, MFDATA_E_STATE, MFDATA_E_LIMIT, MFDATA_E_EXCEPTION, -12345}) {
    CHECK(process_one(harness, [&](const Call&) { return code; }).outcome == "failed");
  }
  body = [](const Call& call) {
    call.each[0] = MFDATA_E_NOMEM;
    call.each[1] = MFDATA_OK;
    call.each[2] = MFDATA_E_ARG;
    return MFDATA_OK;
  };
  at_create = nullptr;
  const Result batch = harness.run_all({{"1", "1"}, {"2", "2"}, {"3", "3"}}, "batch");
  CHECK(batch.ends[0].outcome == "retried");
  CHECK(batch.ends[1].outcome == "ok");
  CHECK(batch.ends[2].outcome == "failed");
  body = [](const Call&) { return MFDATA_E_BUSY; };
  CHECK(harness.run_all({{"1", "1"}, {"2", "2"}}, "batch").ends[1].outcome == "retried");
}

TEST_CASE("a hop tag of a new file without an input is of the hop of its call, in a batch of the highest one") {
  Harness harness(probe());
  const auto make = [](const Call& call) {
    mfdata_file* made = nullptr;
    REQUIRE(call.host->tmp_file(call.ctx, nullptr, &made) == MFDATA_OK);
    CHECK(call.host->tag_set_hop(call.ctx, made, c("kind"), c("new"), 0) == MFDATA_OK);
    CHECK(call.host->emit(call.ctx, made, MFDATA_OP_MOVE, c("archive/main")) == MFDATA_OK);
    return MFDATA_OK;
  };
  const auto hops_of = [](const Result& result) {
    REQUIRE(result.outputs.size() == 1);
    std::string hops;
    for (const auto& [name, value] : result.outputs[0].tags) {
      if (value == "new") hops += name.substr(0, name.find('.')) + ' ';
    }
    return hops;
  };
  CHECK(hops_of(process_one(harness, make)) == "0 latest ");
  const Tags third = {{"latest.core.step_counter", "2"}}, tenth = {{"latest.core.step_counter", "9"}};
  CHECK(hops_of(process_one(harness, make, {"x", "f", third})) == "3 latest ");
  body = [&](const Call& call) {
    std::fill(call.each, call.each + call.files.size(), MFDATA_OK);
    return make(call);
  };
  const Result batch = harness.run_all({{"1", "1"}, {"2", "2", tenth}, {"3", "3", third}}, "batch");
  CHECK(hops_of(batch) == "10 latest ");
}

TEST_CASE("an output of a whole batch is of no single input, the others are of theirs") {
  Harness harness(probe());
  body = [](const Call& call) {
    for (mfdata_file* inherit : {static_cast<mfdata_file*>(nullptr), call.files[2], call.files[1]}) {
      mfdata_file* made = nullptr;
      mfdata_str path{};
      REQUIRE(call.host->tmp_file(call.ctx, inherit, &made) == MFDATA_OK);
      CHECK(call.host->file_path(call.ctx, made, &path) == MFDATA_OK);
      std::ofstream(text_of(path)) << (inherit ? "of one" : "of all");
      CHECK(call.host->emit(call.ctx, made, MFDATA_OP_MOVE, c("archive/main")) == MFDATA_OK);
    }
    call.each[0] = MFDATA_FAIL;
    call.each[1] = call.each[2] = MFDATA_OK;
    return MFDATA_OK;
  };
  at_create = nullptr;
  const Result result = harness.run_all({{"1", "1"}, {"2", "2"}, {"3", "3"}}, "batch");
  REQUIRE(result.outputs.size() == 3);
  CHECK(result.outputs[0].input == 1);
  CHECK(result.outputs[1].input == 2);
  CHECK(result.outputs[2].content == "of all");
  CHECK(result.outputs[2].input == MFDATA_HARNESS_NO_INPUT);
  body = [&](const Call& call) {
    mfdata_file* made = nullptr;
    REQUIRE(call.host->tmp_file(call.ctx, nullptr, &made) == MFDATA_OK);
    call.each[0] = MFDATA_OK;
    return call.host->emit(call.ctx, made, MFDATA_OP_MOVE, c("archive/main"));
  };
  CHECK(harness.run_all({{"1", "1"}}, "batch").outputs.at(0).input == 0);  // a batch of one: there is no doubt
}

TEST_CASE("the reason and the delay of a file's result are those of an input") {
  Harness harness(probe());
  process_one(harness, [](const Call& call) {
    mfdata_file* made = nullptr;
    REQUIRE(call.host->tmp_file(call.ctx, nullptr, &made) == MFDATA_OK);
    CHECK(call.host->set_file_error(call.ctx, made, c("x"), 0) == MFDATA_E_ARG);
    CHECK(call.host->set_file_error(call.ctx, call.files[0], c("x"), 0) == MFDATA_OK);
    return MFDATA_OK;
  });
}

TEST_CASE("a file beyond a symbolic link is not adopted, and stays where it is") {
  Harness harness(probe());
  const std::string outside = harness.home() + "/outside";
  fs::create_directories(outside + "/deep");
  std::ofstream(outside + "/victim") << "of somebody else";
  const Result result = process_one(harness, [&](const Call& call) {
    mfdata_str scratch{};
    mfdata_file* made = nullptr;
    REQUIRE(call.host->scratch_dir(call.ctx, &scratch) == MFDATA_OK);
    const std::string top = text_of(scratch);
    REQUIRE(::symlink(outside.c_str(), (top + "/way").c_str()) == 0);
    REQUIRE(::symlink((outside + "/victim").c_str(), (top + "/itself").c_str()) == 0);
    REQUIRE(::link((outside + "/victim").c_str(), (top + "/second_name").c_str()) == 0);
    fs::create_directories(top + "/mine/deep");
    std::ofstream(top + "/mine/deep/file") << "made here";
    REQUIRE(::symlink("mine", (top + "/inner").c_str()) == 0);
    for (const char* path : {"way/victim", "itself", "second_name", "way", "inner/deep/file", "mine", "mine/../mine/deep/file", "../outside", "", "mine//deep/file"}) {
      CHECK_MESSAGE(call.host->adopt(call.ctx, c(path), nullptr, &made) == MFDATA_E_ARG, path);
    }
    CHECK(call.host->adopt(call.ctx, c(top + "/way/victim"), nullptr, &made) == MFDATA_E_ARG);
    CHECK(call.host->adopt(call.ctx, c("missing"), nullptr, &made) == MFDATA_E_NOTFOUND);
    CHECK(call.host->adopt(call.ctx, c("mine/missing/file"), nullptr, &made) == MFDATA_E_NOTFOUND);
    REQUIRE(call.host->adopt(call.ctx, c("mine/deep/file"), call.files[0], &made) == MFDATA_OK);
    return call.host->emit(call.ctx, made, MFDATA_OP_MOVE, c("archive/main"));
  });
  CHECK(result.outcome == "ok");
  REQUIRE(result.outputs.size() == 1);
  CHECK(result.outputs[0].content == "made here");
  std::ifstream victim(outside + "/victim");
  CHECK(std::string(std::istreambuf_iterator<char>(victim), {}) == "of somebody else");
}

TEST_CASE("a delivered file has permission bits only, whatever is asked for") {
  Harness harness(probe());
  const std::string place = harness.home() + "/delivered";
  fs::create_directories(place);
  const Result result = process_one(harness, [&](const Call& call) {
    mfdata_delivery how{};
    how.struct_size = sizeof how;
    for (const std::uint32_t mode : {04755u, 02755u, 01777u, 07777u, 010777u, 0xffffffffu}) {
      how.mode = mode;
      CHECK(call.host->deliver(call.ctx, call.files[0], MFDATA_OP_COPY, c(place), &how) == MFDATA_E_ARG);
    }
    how.mode = 0755;
    how.directory_mode = 04755;
    CHECK(call.host->deliver(call.ctx, call.files[0], MFDATA_OP_COPY, c(place), &how) == MFDATA_E_ARG);
    how.directory_mode = 02775;
    how.flags = MFDATA_DELIVERY_MKDIRS;
    how.basename = c("sub/f");
    return call.host->deliver(call.ctx, call.files[0], MFDATA_OP_MOVE, c(place), &how);
  });
  CHECK(result.outcome == "ok");
  struct stat st {};
  REQUIRE(::stat((place + "/sub/f").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0755);
  REQUIRE(::stat((place + "/sub").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 02775);
}

TEST_CASE("a step that rewrites its input and puts size and time back is found out") {
  Harness harness(probe());
  const Result result = process_one(harness, [](const Call& call) {
    mfdata_str path{};
    struct stat before {}, after {};
    REQUIRE(call.host->file_path(call.ctx, call.files[0], &path) == MFDATA_OK);
    REQUIRE(::stat(path.p, &before) == 0);
    const timespec times[] = {before.st_atim, before.st_mtim};
    do {  // the kernel's clock for this may stand still for some milliseconds
      const int file = ::open(path.p, O_WRONLY);
      REQUIRE(file >= 0);
      CHECK(::write(file, "CONTENT", 7) == 7);
      CHECK(::futimens(file, times) == 0);
      ::close(file);
      REQUIRE(::stat(path.p, &after) == 0);
    } while (after.st_ctim.tv_sec == before.st_ctim.tv_sec && after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
    CHECK(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
    return MFDATA_OK;
  });
  CHECK(result.outcome == "failed");
  CHECK(result.reason == "the step changed the content of its input, which it may only read");
}

TEST_CASE("a line end, blanks and a zero byte behind a reason or a line of the log are left out") {
  Harness harness(probe());
  const Result result = process_one(harness, [](const Call& call) {
    static constexpr char kLine[] = "two\nlines \r\n";
    call.host->log(call.ctx, MFDATA_LOG_WARNING, {kLine, sizeof kLine});  // as an array has it
    call.host->log(call.ctx, MFDATA_LOG_WARNING, c("\n"));
    return call.host->set_error(call.ctx, MFDATA_FAIL, c("why \n\n\t"));
  });
  CHECK(result.reason == "why");
  REQUIRE(result.logs.size() == 2);
  CHECK(result.logs[0].text == "two\\x0alines");
  CHECK(result.logs[1].text.empty());
}

TEST_CASE("a metric that would spoil what is exported is refused when it is made") {
  Harness harness(probe());
  process_one(harness, [](const Call& call) {
    std::uint64_t id = 0, again = 0;
    const auto made = [&](std::int32_t kind, std::string_view name, std::string_view help, std::vector<std::string_view> keys = {}, std::vector<double> buckets = {}) {
      std::vector<mfdata_str> labels;
      for (const std::string_view key : keys) labels.push_back(c(key));
      return call.host->metric_new(call.ctx, kind, c(name), c(help), labels.data(), static_cast<std::uint32_t>(labels.size()), buckets.data(),
                                   static_cast<std::uint32_t>(buckets.size()), &id);
    };
    CHECK(made(MFDATA_COUNTER, "a-b", "") == MFDATA_E_ARG);
    CHECK(made(MFDATA_COUNTER, "1a", "") == MFDATA_E_ARG);
    CHECK(made(0, "a", "") == MFDATA_E_ARG);
    CHECK(made(4, "a", "") == MFDATA_E_ARG);
    CHECK(made(MFDATA_COUNTER, "a", "two\nlines") == MFDATA_E_ARG);
    CHECK(made(MFDATA_COUNTER, "a", "\xff") == MFDATA_E_ARG);
    for (const char* key : {"le", "quantile", "plugin", "__name__", "a\"b", "", "A"}) CHECK_MESSAGE(made(MFDATA_COUNTER, "a", "", {key}) == MFDATA_E_ARG, key);
    CHECK(made(MFDATA_COUNTER, "a", "", {"x", "y", "x"}) == MFDATA_E_ARG);
    CHECK(made(MFDATA_HISTOGRAM, "a", "", {}, {1, 1}) == MFDATA_E_ARG);
    CHECK(made(MFDATA_HISTOGRAM, "a", "", {}, {2, 1}) == MFDATA_E_ARG);
    CHECK(made(MFDATA_HISTOGRAM, "a", "", {}, {1, HUGE_VAL}) == MFDATA_E_ARG);
    CHECK(made(MFDATA_COUNTER, "a", "", {}, {1, 2}) == MFDATA_E_ARG);
    REQUIRE(made(MFDATA_COUNTER, "a_total", "äöü \\ \"", {"x"}) == MFDATA_OK);
    again = id;
    CHECK(made(MFDATA_COUNTER, "a_total", "said in another way", {"x"}) == MFDATA_OK);
    CHECK(id == again);  // the same one
    CHECK(made(MFDATA_GAUGE, "a_total", "", {"x"}) == MFDATA_E_ARG);
    CHECK(made(MFDATA_COUNTER, "a_total", "", {"y"}) == MFDATA_E_ARG);
    REQUIRE(made(MFDATA_HISTOGRAM, "h", "", {}, {1, 2}) == MFDATA_OK);
    CHECK(made(MFDATA_HISTOGRAM, "h", "", {}, {1, 3}) == MFDATA_E_ARG);
    for (const char* name : {"h_sum", "h_count", "h_bucket"}) CHECK_MESSAGE(made(MFDATA_GAUGE, name, "") == MFDATA_E_ARG, name);
    CHECK(made(MFDATA_GAUGE, "h_other", "") == MFDATA_OK);
    CHECK(call.host->metric_add(call.ctx, again, -1, nullptr, 0) == MFDATA_E_ARG);
    const mfdata_str odd = c("\xff\"\\\n");
    CHECK(call.host->metric_add(call.ctx, again, -1, &odd, 1) == MFDATA_E_ARG);
    CHECK(call.host->metric_add(call.ctx, again, 1, &odd, 1) == MFDATA_OK);
    CHECK(call.host->metric_add(call.ctx, again, 1, nullptr, 1) == MFDATA_E_ARG);
    return MFDATA_OK;
  });
  const Result result = process_one(harness, [](const Call&) { return MFDATA_OK; });
  CHECK(result.metrics.empty());
}

TEST_CASE("a metric is exported under the name of its plugin, with labels that are UTF-8") {
  Harness harness(probe());
  const std::string cut(250, 'x');
  const Result result = process_one(harness, [&](const Call& call) {
    std::uint64_t id = 0;
    const mfdata_str key = c("what");
    REQUIRE(call.host->metric_new(call.ctx, MFDATA_GAUGE, c("level"), c(""), &key, 1, nullptr, 0, &id) == MFDATA_OK);
    for (const std::string& value : {std::string("\xff\x01 \xc3\xa4"), cut, std::string(199, 'y') + "\xc3\xa4"}) {
      const mfdata_str label = c(value);
      CHECK(call.host->metric_add(call.ctx, id, 2, &label, 1) == MFDATA_OK);
    }
    return MFDATA_OK;
  });
  REQUIRE(result.metrics.size() == 3);
  CHECK(result.metrics[0].name == "mfdata_plugin_host_calls_level");
  CHECK(result.metrics[0].labels.at("what") == "\\xff\\x01 \xc3\xa4");
  CHECK(result.metrics[1].labels.at("what") == std::string(200, 'x'));
  CHECK(result.metrics[2].labels.at("what") == std::string(199, 'y'));
}
