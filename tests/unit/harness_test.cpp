#include <doctest/doctest.h>

#include <atomic>
#include <boost/filesystem/operations.hpp>
#include <fstream>
#include <mfdata/harness.hpp>
#include <thread>

namespace fs = boost::filesystem;
using namespace mfdata::harness;

namespace {

const std::string kPlugins = TEST_PLUGINS;
constexpr const char* kArchive = "[custom]\ndest_dir = \"archive/main\"\n";

Options probe(const std::string& config = kArchive) {
  Options options;
  options.entry = mfdata_plugin_v1;
  // A key that only the last layer has is refused: this manifest names them all.
  options.manifest =
      "[plugin]\nname = \"probe\"\nversion = \"1.0.0\"\nlibrary = \"none\"\n[step.main]\nretry_total = 1\n[step.other]\n[listener.source]\n"
      "[custom]\ndest_dir = \"\"\nwords = \"\"\ntarget = \"\"\n";
  options.config = config;
  return options;
}

Options loaded(const std::string& plugin, const std::string& config = "") {
  Options options;
  options.plugin = kPlugins + '/' + plugin;
  options.config = config;
  return options;
}

std::string error_of(const Options& options, mfdata_rc code) {
  try {
    const Harness harness(options);
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "";
}

template <class Function>
std::string thrown(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a file that is passed on is shown with its content, its tags, the log and the metrics") {
  Harness harness(probe());
  const Result result = harness.run({"pass", "a name.txt", {{"colour", "red"}}}, "main");
  CHECK(result.outcome == "ok");
  REQUIRE(result.ends.size() == 1);
  CHECK(result.ends[0].code == MFDATA_OK);
  CHECK(result.ends[0].fate == "done");
  REQUIRE(result.outputs.size() == 1);
  const Output& output = result.outputs[0];
  CHECK(output.to == "archive/main");
  CHECK(output.name == "a name.txt");
  CHECK(output.content == "pass");
  CHECK(output.size == 4);
  CHECK(output.tags.at("latest.probe.main.deed") == "pass");
  CHECK(output.tags.at("0.probe.main.deed") == "pass");
  CHECK(output.tags.at("first.core.original_basename") == "a name.txt");
  CHECK(output.tags.at("colour") == "red");
  CHECK(fs::exists(output.path));
  REQUIRE(result.logs.size() == 2);
  CHECK(result.logs[0].level == MFDATA_LOG_DEBUG);
  CHECK(result.logs[0].text == "at work");
  CHECK(result.logs[1].level == MFDATA_LOG_WARNING);
  CHECK(contains(result.logs[1].text, "a line"));
  CHECK(result.metric("mfdata_plugin_probe_files_total") == 1);
  CHECK(result.metrics.at(0).labels.at("deed") == "pass");
  CHECK(harness.run({"end"}, "main").outputs.empty());
}

TEST_CASE("many outputs come in the order of staging") {
  Harness harness(probe());
  const Result result = harness.run({"fan 12"}, "main");
  REQUIRE(result.outputs.size() == 12);
  for (std::size_t i = 0; i < 12; ++i) CHECK(result.outputs[i].content == "part " + std::to_string(i));
  const Result self = harness.run({"self"}, "main");
  REQUIRE(self.outputs.size() == 2);
  CHECK(self.outputs[0].to == "probe/main");
  CHECK(self.outputs[1].to == "probe/other");
}

TEST_CASE("a delivery is found under the name that it got") {
  Harness harness(probe());
  const std::string place = harness.home() + "/delivered";
  const Result first = harness.run({"deliver " + place, "x.txt"}, "main"), second = harness.run({"deliver " + place, "x.txt"}, "main");
  REQUIRE(first.outputs.size() == 1);
  CHECK(first.outputs[0].to == place);
  CHECK(first.outputs[0].name == "x.txt");
  CHECK(first.outputs[0].content == "deliver " + place);
  CHECK(fs::exists(place + "/x.txt.tags"));
  REQUIRE(second.outputs.size() == 1);
  CHECK(second.outputs[0].name == "x.txt-1");
}

TEST_CASE("policies of the step decide what becomes of the input") {
  Harness harness(probe());
  const Result failed = harness.run({"fail"}, "main");
  CHECK(failed.outcome == "failed");
  CHECK(failed.reason == "failed on purpose");
  CHECK(failed.ends[0].fate == "trash");
  const Result skipped = harness.run({"skip"}, "main");
  CHECK(skipped.outcome == "skipped");
  CHECK(skipped.ends[0].fate == "done");
  const Result retried = harness.run({"retry"}, "main");
  CHECK(retried.outcome == "retried");
  CHECK(retried.ends[0].fate == "retry");
  CHECK(retried.ends[0].retry_ms > 4000);
  CHECK(retried.ends[0].retry_ms <= 5000);
  const Result again = harness.rerun("main");
  CHECK(again.outcome == "failed");
  CHECK(again.ends[0].fate == "trash");
  CHECK(contains(thrown([&] { harness.rerun("main"); }), "no file of the last run waits"));

  Options moving = probe(std::string(kArchive) +
                         "[step.main]\nfailure_policy = \"move\"\nfailure_policy_move_dest_dir = \"alarm/main\"\nunmatched_policy = \"keep\"\n");
  Harness alarm(moving);
  const Result moved = alarm.run({"fail"}, "main");
  CHECK(moved.outcome == "failed");
  REQUIRE(moved.outputs.size() == 1);
  CHECK(moved.outputs[0].to == "alarm/main");
  CHECK(alarm.run({"skip"}, "main").ends[0].fate == "trash");
}

TEST_CASE("metrics of one series are added up, and those of create come with the first run") {
  Harness harness(probe());
  const Result result = harness.run({"observe"}, "main");
  CHECK(result.metric("mfdata_plugin_probe_files_total") == 4);
  for (const Metric& metric : result.metrics) {
    if (metric.name == "mfdata_plugin_probe_sizes") {
      CHECK(metric.kind == MFDATA_HISTOGRAM);
      CHECK(metric.changes == 3);
      CHECK(metric.value == 7);
    }
    if (metric.name == "mfdata_plugin_probe_last") CHECK(metric.value == 4);
  }
}

TEST_CASE("a call that is made to fail has its effect, and one whose failure is ignored is seen") {
  Harness harness(probe());
  harness.fail("tag_set_hop");
  const Result careful = harness.run({"pass"}, "main");
  CHECK(careful.outcome == "retried");  // E_IO: the next time the system may grant it
  CHECK(careful.failed_calls == 1);
  CHECK(careful.logged("tag_set_hop was made to fail with -4"));
  const Result careless = harness.run({"careless"}, "main");
  CHECK(careless.outcome == "ok");
  CHECK(careless.failed_calls == 1);
  CHECK(careless.outputs[0].tags.count("latest.probe.main.important") == 0);
  harness.heal();
  CHECK(harness.run({"careless"}, "main").outputs[0].tags.at("latest.probe.main.important") == "yes");
}

TEST_CASE("the nth call fails, counted from now on, with the code that was said") {
  Harness harness(probe());
  harness.run({"pass"}, "main");
  harness.fail("emit", 2, MFDATA_E_LIMIT);
  CHECK(harness.run({"pass"}, "main").outcome == "ok");
  const Result second = harness.run({"pass"}, "main");
  CHECK(second.ends[0].code == MFDATA_FAIL);  // as plugin.hpp makes it of the exception
  CHECK(contains(second.reason, "limit"));
  CHECK(harness.run({"pass"}, "main").outcome == "ok");
  harness.fail("", 1);
  CHECK(harness.run({"pass"}, "main").failed_calls == 1);
  std::string unnoticed;
  harness.each_failing_call({"careless"}, "main", [&](const Result& result) {
    if (result.outcome == "ok") unnoticed += result.logs.back().text + ' ';
  });
  CHECK(contains(unnoticed, "tag_set_hop"));
  CHECK(!contains(unnoticed, "emit"));
  CHECK(contains(thrown([&] { harness.fail("emitt"); }), "did you mean \"emit\"?"));
}

TEST_CASE("on a full disk the file waits, and is treated when there is room") {
  Harness harness(probe());
  harness.fill_disk();
  const Result full = harness.run({"fan 2"}, "main");
  CHECK(full.outcome == "full");
  CHECK(full.ends[0].fate == "queue");
  CHECK(full.outputs.empty());
  harness.heal();
  CHECK(harness.rerun("main").outputs.size() == 2);
}

TEST_CASE("a cancellation reaches a step that is at work, and ends with a restart") {
  for (const char* what : {"wait cancelled", "wait interrupt"}) {
    Harness harness(probe());
    harness.run({"end"}, "main");
    std::thread other([&] { harness.cancel(); });
    const Result result = harness.run({what}, "main");
    other.join();
    CHECK(result.outcome == "cancelled");
    CHECK(result.ends[0].fate == "queue");
    const Result drained = harness.restart();
    CHECK(drained.logged("drained"));
    CHECK(harness.run({"end"}, "main").outcome == "ok");
  }
}

TEST_CASE("a deadline that passes is told") {
  Harness harness(probe());
  CHECK(!harness.run({"end"}, "main").late);
  harness.deadline(20);
  const Result late = harness.run({"wait deadline"}, "main");
  CHECK(late.late);
  CHECK(late.duration_ns >= 20'000'000);
}

TEST_CASE("a tick reaches the step") { CHECK(Harness(probe()).tick("main").logged("a tick")); }

TEST_CASE("a batch is one call, with an end for each file and its own outputs") {
  Harness harness(loaded("gather", "[custom]\neach = true\n"));
  const Result result = harness.run_all({{"1", "a"}, {"2", "fail-b"}, {"3", "retry-c"}, {"4", "d"}}, "main");
  REQUIRE(result.ends.size() == 4);
  CHECK(result.ends[0].outcome == "ok");
  CHECK(result.ends[1].outcome == "failed");
  CHECK(result.ends[1].reason == "fail-b is bad");
  CHECK(result.ends[2].fate == "trash");  // no retries are configured
  CHECK(result.ends[3].outcome == "ok");
  REQUIRE(result.outputs.size() == 2);
  CHECK(result.outputs[0].name == "a");
  CHECK(result.outputs[0].input == 0);
  CHECK(result.outputs[1].name == "d");
  CHECK(result.outputs[1].input == 3);
  CHECK(result.logs.size() == 2);  // max_size = 3: two batches
}

TEST_CASE("a predicate is asked") {
  Harness harness(loaded("judge/judge.so"));
  CHECK(harness.ask("named(a.txt, b.txt)", {"x", "b.txt"}).outcome == "yes");
  CHECK(harness.ask("named(a.txt)", {"x", "b.txt"}).outcome == "no");
  const Result thrown_on_purpose = harness.ask("does(throw, b)", {"x", "b.txt"});
  CHECK(thrown_on_purpose.outcome == "error");
  CHECK(contains(thrown_on_purpose.reason, "thrown on purpose"));
  CHECK(harness.ask("does(write, b)", {"x", "b.txt"}).outcome == "error");
  CHECK(harness.ask("begins_with(refused)", {"x"}).outcome == "not started");
  CHECK(contains(thrown([&] { harness.ask("nobody()", {"x"}); }), "has no predicate \"nobody\""));
  CHECK(Harness(loaded("judge")).ask("begins_with", {"configured so"}).outcome == "yes");
}

TEST_CASE("a listener's deposits are shown, with their tags") {
  Harness harness(probe("[custom]\nwords = \"one two\"\ntarget = \"archive/main\"\n"));
  harness.start();
  harness.wait(2, 30'000);
  CHECK(contains(thrown([&] { harness.start(); }), "a listener runs already"));
  CHECK(contains(thrown([&] { harness.wait(3, 10); }), "deposited 2 files, not 3"));
  const Result result = harness.stop();
  CHECK(result.outcome == "ok");
  REQUIRE(result.outputs.size() == 2);
  CHECK(result.outputs[0].to == "archive/main");
  CHECK(result.outputs[0].name == "one.txt");
  CHECK(result.outputs[0].content == "one");
  CHECK(result.outputs[0].tags.at("source") == "probe");
  CHECK(result.outputs[1].content == "two");
  CHECK(result.metric("mfdata_plugin_probe_deposits_total") == 2);
  CHECK(result.logged("one: 0"));
}

TEST_CASE("a listener meets pressure, a full disk and failing calls; one that does not start says why") {
  Harness harness(probe("[custom]\nwords = \"one\"\n"));
  harness.pressure(MFDATA_E_BUSY);
  harness.start();
  CHECK(harness.stop().logged("one: -10"));
  harness.heal();
  harness.fill_disk();
  harness.start();
  CHECK(harness.stop().logged("one: -11"));
  harness.heal();
  harness.fail("deposit_commit");
  harness.start();
  const Result lost = harness.stop();
  CHECK(lost.logged("one: -4"));
  CHECK(lost.outputs.empty());
  harness.heal();
  harness.start();
  harness.wait(1, 30'000);
  CHECK(harness.stop().outputs.size() == 1);

  Harness refused(probe("[custom]\nwords = \"refused\"\n"));
  CHECK(contains(thrown([&] { refused.start(); }), "these words are refused"));
  Harness leaving(probe("[custom]\nwords = \"leave\"\n"));
  leaving.start();
  leaving.wait(1, 30'000);
  CHECK(contains(thrown([&] { leaving.wait(2, 30'000); }), "has ended after 1 deposits"));
  const Result left = leaving.stop();
  CHECK(left.outcome == "failed");
  CHECK(contains(left.reason, "left by itself"));
}

TEST_CASE("a plugin that does not start is a result, and starts when the reason is gone") {
  Harness harness(probe());
  harness.fail("config_text", 1);
  const Result refused = harness.run({"end"}, "main");
  CHECK(refused.outcome == "not started");
  CHECK(contains(refused.reason, "dest_dir"));
  CHECK(refused.ends[0].fate == "queue");
  CHECK(harness.rerun("main").outcome == "ok");
}

TEST_CASE("wrong input is told with what is wrong") {
  CHECK(contains(error_of({}, MFDATA_E_ARG), "name a plugin"));
  CHECK(contains(error_of(loaded("nobody.so"), MFDATA_E_NOTFOUND), "there is no plugin"));
  CHECK(contains(error_of(loaded("other_abi"), MFDATA_E_ABI), "it is built for ABI"));
  CHECK(contains(error_of(loaded("no_entry"), MFDATA_E_ABI), "no entry point"));
  CHECK(contains(error_of(loaded("gather/plugin.toml"), MFDATA_E_ABI), "no ELF file"));
  CHECK(contains(error_of(probe("[custom\n"), MFDATA_E_ARG), "probe.toml"));
  CHECK(contains(error_of(probe("[custom]\ndest_dri = \"x\"\n"), MFDATA_E_ARG), "did you mean \"dest_dir\"?"));
  Options both = loaded("gather");
  both.manifest = "[plugin]\n";
  CHECK(contains(error_of(both, MFDATA_E_ARG), "its own plugin.toml"));
  Options target = probe();
  target.targets = {"nowhere"};
  CHECK(contains(error_of(target, MFDATA_E_ARG), "a target is written plugin/step"));

  Harness harness(probe());
  CHECK(contains(thrown([&] { harness.run({"end"}, "nobody"); }), "name one of its steps: main, other"));
  CHECK(contains(thrown([&] { harness.run({"end"}); }), "name one of its steps"));
  CHECK(contains(thrown([&] { harness.run(File::at("/nowhere/at/all"), "main"); }), "cannot read /nowhere/at/all"));
  CHECK(contains(thrown([&] { harness.run({"end", "x", {{"bad name", ""}}}, "main"); }), "bad name"));
  CHECK(contains(thrown([&] { harness.stop(); }), "no listener runs"));
  CHECK(harness.run({"fan 1"}, "main").outcome == "ok");
}

TEST_CASE("a step that nobody named is none, unless it is given as a target") {
  Options options = probe("[custom]\ndest_dir = \"not a step\"\n");
  CHECK(Harness(options).run({"pass"}, "main").outcome == "failed");
  options.config = "[custom]\ndest_dir = \"more\"\n";
  options.targets = {"probe/more"};
  CHECK(Harness(options).run({"pass"}, "main").outputs.at(0).to == "probe/more");
}

TEST_CASE("the home is in memory when it is asked for, and goes away with the harness") {
  Options options = probe();
  options.in_memory = true;
  std::string home, path;
  {
    Harness harness(options);
    home = harness.home();
    const Result result = harness.run({"pass"}, "main");
    path = result.outputs.at(0).path;
    CHECK(fs::exists(path));
    CHECK(result.outputs[0].tags.count("latest.probe.main.deed") == 1);
  }
  CHECK(home.rfind("/dev/shm/", 0) == 0);
  CHECK(!fs::exists(home));
}

TEST_CASE("without a manifest every component runs under its own name, with any key") {
  Options options;
  options.entry = mfdata_plugin_v1;
  options.config = "[custom]\ndest_dir = \"archive/main\"\n[step.other]\nunmatched_policy = \"keep\"\n";
  Harness harness(options);
  CHECK(harness.run({"pass"}, "main").outputs.size() == 1);
  CHECK(harness.run({"skip"}, "other").ends.at(0).fate == "trash");
  harness.start("source");
  CHECK(harness.stop().outcome == "ok");
  options.plugin = kPlugins + "/gather";  // its plugin.toml counts, and the code that is linked in
  options.config.clear();
  CHECK(contains(thrown([&] { Harness(options).run({"x"}, "lines"); }), "has no step \"lines\""));
}

TEST_CASE("a routing plugin gets the rules of its configuration") {
  Options options = loaded("../../sample_plugins/switch");
  options.config =
      "[[switch_rules]]\ntype = \"equal\"\ntag = \"colour\"\nrules = { \"red\" = [\"archive/red\"], \"blue\" = [\"archive/blue\", \"copy/main\"] }\n";
  Harness harness(options);
  CHECK(harness.run({"x", "x", {{"colour", "red"}}}).outputs.at(0).to == "archive/red");
  CHECK(harness.run({"x", "x", {{"colour", "blue"}}}).outputs.size() == 2);
  CHECK(harness.run({"x", "x", {{"colour", "green"}}}).outputs.empty());
}

TEST_CASE("a file is taken from a path, under the name that it has there") {
  Harness harness(probe());
  const std::string path = harness.home() + "/given.txt";
  std::ofstream(path) << "pass";
  const Result result = harness.run(File::at(path), "main");
  CHECK(result.outputs.at(0).name == "given.txt");
  CHECK(fs::exists(path));
}

TEST_CASE("harnesses of several threads do not meet") {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&good, i] {
      Harness harness(probe());
      const std::string text = "pass " + std::to_string(i);
      for (int k = 0; k < 20; ++k) {
        const Result result = harness.run({text}, "main");
        good += result.outputs.size() == 1 && result.outputs[0].content == text && result.logs.size() == 2;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 80);
}
