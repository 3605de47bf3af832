#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <mfdata/plugin.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "libmfdata/file_descriptor.hpp"
#include "loader_metrics.hpp"
#include "wire/plugin_metrics.hpp"

using namespace mfdata;

namespace {

std::string page_of(const LoaderMetrics& metrics) {
  const FileDescriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(metrics.port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  REQUIRE(::send(client.get(), request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()));
  std::string reply;
  char block[4096];
  for (ssize_t got; (got = ::recv(client.get(), block, sizeof block, 0)) > 0;) reply.append(block, static_cast<std::size_t>(got));
  return reply.substr(reply.find("\r\n\r\n") + 4);
}

// The text format of Prometheus: what is wrong with the page; empty: nothing.
std::string malformed(const std::string& page) {
  static const std::regex kComment(R"(# (HELP|TYPE) ([a-zA-Z_][a-zA-Z0-9_]*) (([^\\]|\\\\|\\n)*))");
  static const std::regex kSeries(R"re(([a-zA-Z_][a-zA-Z0-9_]*)(\{(([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*",?)*)\})? [-+0-9.eInfNa]+)re");
  static const std::regex kLabel(R"re(([a-zA-Z_][a-zA-Z0-9_]*)=")re");
  std::set<std::string> types, series;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kComment)) {
      if (match[1] == "TYPE" && !types.insert(match[2]).second) return "a second type: " + line;
      continue;
    }
    if (!std::regex_match(line, match, kSeries)) return "no line of the format: " + line;
    if (!series.insert(line.substr(0, line.rfind(' '))).second) return "twice: " + line;
    std::set<std::string> keys;
    const std::string labels = match[3];
    for (std::sregex_iterator at(labels.begin(), labels.end(), kLabel), end; at != end; ++at) {
      if (!keys.insert((*at)[1]).second) return "a label twice: " + line;
    }
  }
  return "";
}

bool has(const std::string& page, const std::string& text) { return page.find(text) != std::string::npos; }

wire::MetricDelta delta(int kind, const std::string& name, double value = 1, std::vector<std::pair<std::string, std::string>> labels = {}) {
  return {static_cast<std::uint8_t>(kind), name, "", std::move(labels), {}, value};
}

}  // namespace

TEST_CASE("the metrics of plugins stay apart, and the page well formed, whatever a worker sends") {
  LoaderMetrics metrics;
  REQUIRE(metrics.serve("127.0.0.1:0"));
  CHECK(metrics.plugin_metric("one", delta(MFDATA_COUNTER, "files_total", 2)).empty());
  CHECK(metrics.plugin_metric("two", delta(MFDATA_GAUGE, "files_total", 3)).empty());  // hides nothing of the other
  CHECK(metrics.plugin_metric("one", delta(MFDATA_HISTOGRAM, "sizes", 5)).empty());
  CHECK(metrics.plugin_metric("one", delta(MFDATA_COUNTER, "odd_total", 1, {{"what", "a\"b\\c\nd \xff \x01"}})).empty());
  wire::MetricDelta helped = delta(MFDATA_GAUGE, "helped");
  helped.help = "two\nlines \\ and \xff";
  CHECK(metrics.plugin_metric("one", helped).empty());
  // Refused when it is made by a plugin; a worker that sends it all the same costs nobody else anything.
  const auto dropped = [&](const std::string& plugin, const wire::MetricDelta& wrong) { CHECK_FALSE(metrics.plugin_metric(plugin, wrong).empty()); };
  dropped("one", delta(MFDATA_GAUGE, "files_total"));
  CHECK(metrics.plugin_metric("one", delta(MFDATA_GAUGE, "files_total")).empty());  // is told once
  dropped("one", delta(MFDATA_COUNTER, "sizes_count"));
  dropped("two", delta(MFDATA_COUNTER, "bad name"));
  dropped("series", delta(MFDATA_COUNTER, "dropped_total"));
  for (const char* key : {"le", "plugin", "a b", "", "__name__"}) {
    const std::string plugin = std::string("of-label-") + std::to_string(key[0]);
    dropped(plugin, delta(MFDATA_HISTOGRAM, "labelled", 1, {{key, "x"}}));
  }
  dropped("twice", delta(MFDATA_COUNTER, "labelled", 1, {{"a", "x"}, {"a", "y"}}));
  dropped("nan", delta(MFDATA_GAUGE, "value", std::nan("")));
  wire::MetricDelta falling = delta(MFDATA_HISTOGRAM, "falling");
  falling.buckets = {2, 1};
  dropped("falling", falling);
  const std::string page = page_of(metrics);
  CHECK(malformed(page) == "");
  CHECK(has(page, "# TYPE mfdata_plugin_one_files_total counter\n"));
  CHECK(has(page, "mfdata_plugin_one_files_total{plugin=\"one\"} 2\n"));
  CHECK(has(page, "mfdata_plugin_two_files_total{plugin=\"two\"} 3\n"));
  CHECK(has(page, "mfdata_plugin_one_sizes_count{plugin=\"one\"} 1\n"));
  CHECK(has(page, "what=\"a\\\"b\\\\c\\\\x0ad \\\\xff \\\\x01\""));
  CHECK(has(page, "# HELP mfdata_plugin_one_helped two\\\\x0alines \\\\ and \\\\xff\n"));
  CHECK(has(page, "mfdata_plugin_series_dropped_total 13\n"));
}

TEST_CASE("two plugins whose names only differ by a dash keep their own series") {
  LoaderMetrics metrics;
  REQUIRE(metrics.serve("127.0.0.1:0"));
  CHECK(metrics.plugin_metric("a-b", delta(MFDATA_COUNTER, "c", 1)).empty());
  CHECK(metrics.plugin_metric("a_b", delta(MFDATA_COUNTER, "c", 2)).empty());
  CHECK(metrics.plugin_metric("a", delta(MFDATA_GAUGE, "b_c", 2)).find("mfdata_plugin_a_b_c") != std::string::npos);
  const std::string page = page_of(metrics);
  CHECK(malformed(page) == "");
  CHECK(has(page, "mfdata_plugin_a_b_c{plugin=\"a-b\"} 1\n"));
  CHECK(has(page, "mfdata_plugin_a_b_c{plugin=\"a_b\"} 2\n"));
}

TEST_CASE("a plugin has at most 1000 series of metrics, and is told once") {
  LoaderMetrics metrics;
  REQUIRE(metrics.serve("127.0.0.1:0"));
  for (int i = 0; i < 1000; ++i) CHECK(metrics.plugin_metric("many", delta(MFDATA_COUNTER, "c", 1, {{"i", std::to_string(i)}})).empty());
  CHECK(metrics.plugin_metric("many", delta(MFDATA_COUNTER, "c", 1, {{"i", "one more"}})).find("1000") != std::string::npos);
  CHECK(metrics.plugin_metric("many", delta(MFDATA_COUNTER, "d")).empty());
  CHECK(metrics.plugin_metric("many", delta(MFDATA_COUNTER, "c", 1, {{"i", "7"}})).empty());  // a known one goes on
  const std::string page = page_of(metrics);
  CHECK(has(page, "mfdata_plugin_many_c{i=\"7\",plugin=\"many\"} 2\n"));
  CHECK_FALSE(has(page, "mfdata_plugin_many_d"));
}
