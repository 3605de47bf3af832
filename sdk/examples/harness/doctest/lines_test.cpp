// The plugin is linked into this program: a debugger steps from the test into it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <mfdata/harness.hpp>

using mfdata::harness::Harness;
using mfdata::harness::Result;

static Harness lines() { return Harness({"", mfdata_plugin_v1, "", "[custom]\ndest_dir = \"archive/main\"\n", {}, true}); }

TEST_CASE("lines are counted, and the file goes on") {
  Harness harness = lines();
  const Result result = harness.run({"one\ntwo\n", "two.txt", {{"source", "a test"}}});
  CHECK(result.outcome == "ok");
  REQUIRE(result.outputs.size() == 1);
  const auto& output = result.outputs[0];
  CHECK(output.to == "archive/main");
  CHECK(output.name == "two.txt");
  CHECK(output.content == "one\ntwo\n");
  CHECK(output.tags.at("latest.lines.main.lines") == "2");
  CHECK(output.tags.at("source") == "a test");
  CHECK(result.logged("2 lines"));
  CHECK(result.metric("mfdata_plugin_lines_lines_total") == 2);
}

TEST_CASE("a file without lines is skipped") {
  Harness harness = lines();
  const Result result = harness.run({""});
  CHECK(result.outcome == "skipped");
  CHECK(result.reason == "it has no line");
  CHECK(result.outputs.empty());
}

TEST_CASE("without dest_dir it does not start, and says why") {
  Harness harness({"", mfdata_plugin_v1});
  const Result result = harness.run({"x\n"});
  CHECK(result.outcome == "not started");
  CHECK(result.reason.find("dest_dir") != std::string::npos);
}

TEST_CASE("each call of the host may fail, and only that of a metric does no harm") {
  Harness harness = lines();
  const auto calls = harness.each_failing_call({"x\n"}, "main", [](const Result& result) {
    const bool harmless = result.logged("metric_add was made to fail");
    CAPTURE(result.reason);
    CHECK((result.outcome == "ok") == harmless);
  });
  CHECK(calls == 6);  // config_text, metric_new, file_path, metric_add, tag_set_hop, emit
}
