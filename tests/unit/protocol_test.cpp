#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tuple>

#include "wire/rule_codec.hpp"
#include "wire/worker_protocol.hpp"
#include "wire/worker_settings.hpp"
#include "worker/channel.hpp"

using namespace mfdata;

template <class T>
static T round_trip(const T& message) {
  auto back = wire::decode(wire::encode(message));
  REQUIRE(back);
  REQUIRE(std::holds_alternative<T>(*back));
  return std::get<T>(*back);
}

TEST_CASE("messages_read_back") {
  CHECK(round_trip(wire::Jobs{{{1, 0, "a"}, {2, 7, "name with \n and \x1b", true, true, true}}}).jobs[1] == wire::JobName{2, 7, "name with \n and \x1b", true, true, true});
  wire::Done done{5, wire::Outcome::kFailed, true, false, 10, 20, 30, {1, 2}, "why", 40, "name"};
  const auto results = round_trip(wire::Results{{done, done}});
  CHECK(results.done.size() == 2);
  CHECK(results.done[1].reason == "why");
  CHECK(results.done[1].waits_as == "name");
  CHECK(results.done[1].pause_ms == 40);
  CHECK(results.done[1].routed == std::vector<std::uint16_t>{1, 2});
  CHECK(round_trip(wire::Ready{"1.0", 100}).batch == 100);
  CHECK(round_trip(wire::SettledFile{"u", 2, true, "crashed"}).crashes == 2);
  CHECK(round_trip(wire::SettledFile{"u", 0, false, "finished", "/archive/x"}).delivered == "/archive/x");
  CHECK(round_trip(wire::Metrics{{{1, "n", "h", {{"k", "v"}}, {0.5}, 2}}}).deltas[0].labels[0].second == "v");
}

TEST_CASE("a_listening_socket_comes_with_its_answer_or_with_an_error") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  const FileDescriptor loader(ends[0]);
  Channel channel{FileDescriptor(ends[1])};
  int pipe[2];
  REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
  const FileDescriptor out(pipe[0]), in(pipe[1]);
  REQUIRE(wire::send_with_descriptor(loader.get(), {""}, in.get()));
  auto given = channel.ask_socket("127.0.0.1:1", 0);
  REQUIRE(given);
  REQUIRE(::write(given->get(), "x", 1) == 1);  // the same pipe
  char byte = 0;
  CHECK((::read(out.get(), &byte, 1) == 1 && byte == 'x'));
  REQUIRE(wire::send_with_descriptor(loader.get(), {"in use"}, -1));
  auto refused = channel.ask_socket("127.0.0.1:1", 0);
  CHECK((!refused && refused.error().text == "in use"));
  const std::string stop = wire::encode(wire::Stop{});
  REQUIRE(::send(loader.get(), stop.data(), stop.size(), 0) > 0);
  CHECK_FALSE(channel.ask_socket("127.0.0.1:1", 0));
  std::deque<wire::JobName> none;
  CHECK(channel.receive(none, 0));  // the stop is not forgotten
}

TEST_CASE("health_and_requests_of_listeners_read_back") {
  const auto health = round_trip(wire::Health{2, "no broker"});
  CHECK((health.state == 2 && health.text == "no broker"));
  CHECK_FALSE(wire::decode(wire::encode(wire::Health{3, ""})));
  const auto wanted = round_trip(wire::SocketRequest{"/run/x.sock", 0600});
  CHECK((wanted.address == "/run/x.sock" && wanted.mode == 0600));
  CHECK(round_trip(wire::SocketAnswer{"in use"}).error == "in use");
}

TEST_CASE("what is told of followed files reads back, as large as it can be") {
  const auto accepted = round_trip(wire::Accepted{"u", 7, 42, false});
  CHECK((accepted.uid == "u" && accepted.device == 7 && accepted.inode == 42 && !accepted.taken));
  wire::Trace trace;
  trace.uid = trace.origin = std::string(255, 'u');
  trace.outcome = wire::Outcome::kFailed;
  trace.trashed = trace.more = trace.planned = true;
  trace.reason = std::string(wire::kMaxReason, 'r');
  wire::TracedOutput output;
  output.uid = std::string(255, 'o');
  output.target = 3;
  output.anew = true;
  output.path = std::string(4096, 'p');
  trace.outputs.assign(wire::kMaxTracedOutputs, output);
  CHECK(wire::encode(trace).size() <= wire::kMaxPacket);
  const auto back = round_trip(trace);
  CHECK((back.uid == trace.uid && back.origin == trace.origin && back.outcome == trace.outcome && back.trashed && back.more && back.planned && back.reason == trace.reason));
  REQUIRE(back.outputs.size() == wire::kMaxTracedOutputs);
  CHECK((back.outputs[11].uid == output.uid && back.outputs[11].target == 3 && back.outputs[11].anew && back.outputs[11].path == output.path));
}

TEST_CASE("questions_and_answers_of_predicates_read_back") {
  const auto part = round_trip(wire::ContextPart{true, std::string(wire::kMaxContextPart, '\xff')});
  CHECK(part.first);
  CHECK(part.text.size() == wire::kMaxContextPart);
  const auto question = round_trip(wire::Question{9, 3, "/a file"});
  CHECK((question.serial == 9 && question.rule == 3 && question.path == "/a file"));
  const auto answer = round_trip(wire::Answer{9, 3, -2, "why"});
  CHECK((answer.serial == 9 && answer.rule == 3 && answer.code == -2 && answer.reason == "why"));
}

TEST_CASE("a_cut_or_changed_message_never_reads_past_its_end") {
  const std::string packet = wire::encode(wire::Results{{wire::Done{5, wire::Outcome::kOk, false, true, 1, 2, 3, {1}, "r", 4, "w"}}});
  for (std::size_t length = 0; length < packet.size(); ++length) CHECK_FALSE(wire::decode(packet.substr(0, length)));
  CHECK_FALSE(wire::decode(packet + "x"));
  std::string outcome = packet;
  outcome[7] = 77;
  CHECK_FALSE(wire::decode(outcome));
  CHECK_FALSE(wire::decode(""));
  CHECK_FALSE(wire::decode(wire::encode(wire::Jobs{{{1, 0, "../x"}}})));
}

TEST_CASE("worker_settings_read_back_with_any_bytes") {
  wire::WorkerSettings settings;
  settings.step.plugin = "p";
  settings.step.retry.max_wait_s = 1.5;
  settings.library = "/lib/\xff.so";
  settings.sources = {"step.p.main", "in coming"};
  ConfigValue::Table inner;
  inner.emplace_back("bytes \xfe", ConfigValue(std::string("\xff\0x", 3)));
  inner.emplace_back("number", ConfigValue(std::int64_t{-5}));
  ConfigValue::Array list;
  list.emplace_back(ConfigValue(0.5));
  list.emplace_back(ConfigValue(true));
  inner.emplace_back("list", ConfigValue(std::move(list)));
  settings.custom = ConfigValue(std::move(inner));
  auto back = wire::decode_settings(wire::encode(settings));
  REQUIRE(back);
  CHECK(back->library == settings.library);
  CHECK(back->step.retry.max_wait_s == 1.5);
  CHECK(back->sources == settings.sources);
  CHECK(back->custom.at_path("bytes \xfe")->string() == std::string("\xff\0x", 3));
  CHECK(back->custom.at_path("list[0]")->real() == 0.5);
  CHECK(back->custom.at_path("list[1]")->boolean());
  CHECK_FALSE(wire::decode_settings("{}"));
}

TEST_CASE("sealed_settings_of_a_worker_say_the_same_as_open_ones") {
  wire::WorkerSettings open;
  open.step.plugin = "switch";
  open.custom = ConfigValue(ConfigValue::Table{{"key", ConfigValue(std::string("value"))}});
  SwitchRule rule;
  rule.switch_plugin = "switch";
  rule.plugin = "p";
  rule.type = "fnmatch";
  rule.tag = "t";
  rule.pattern = "a\nb*";
  rule.where = {"/f.toml", 7, 0, ""};
  rule.targets = {"p/main*"};
  open.rules = {rule};
  wire::WorkerSettings sealed = open;
  wire::seal(sealed);
  CHECK(sealed.rules.empty());
  CHECK(wire::encode(sealed) == wire::encode(open));
  CHECK(wire::same(sealed, open));
  auto back = wire::decode_settings(wire::encode(sealed));
  REQUIRE(back);
  REQUIRE(back->rules.size() == 1);
  CHECK(back->rules[0].pattern == "a\nb*");
  CHECK(back->rules[0].where.line == 7);
  CHECK(back->rules[0].targets == rule.targets);
  CHECK(back->custom.find("key")->string() == "value");
  open.rules[0].targets = {"p/main"};
  CHECK_FALSE(wire::same(sealed, open));
  const std::string whole = wire::encode(sealed);
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(wire::decode_settings(whole.substr(0, size)));
  CHECK_FALSE(wire::decode_settings(whole + 'x'));
  sealed.task = wire::Task::kReap;  // it runs no plugin
  back = wire::decode_settings(wire::encode(sealed));
  REQUIRE(back);
  CHECK(back->rules.empty());
}

TEST_CASE("rules_read_back_with_any_bytes_whatever_they_share_with_the_rule_before_them") {
  std::vector<SwitchRule> rules;
  for (int i = 0; i < 64; ++i) {
    SwitchRule rule;
    rule.switch_plugin = "switch";
    rule.plugin = i % 2 == 0 ? "p" : "q";
    rule.type = i % 4 < 2 ? "equal" : "regex";
    rule.tag = i % 8 < 4 ? "" : "t";
    rule.where = {i % 16 < 8 ? "/f\xff.toml" : "", i, 0, ""};
    rule.pattern = std::string("a\0\n\xfe", 4) + std::string(static_cast<std::size_t>(i), 'x');
    rule.targets.assign(static_cast<std::size_t>(i % 3), "p/main*");
    rules.push_back(rule);
  }
  const std::string bytes = wire::encode_rules(rules);
  const auto back = wire::decode_rules(bytes, "switch");
  REQUIRE(back);
  REQUIRE(back->size() == rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const SwitchRule& a = rules[i];
    const SwitchRule& b = (*back)[i];
    CHECK(std::tie(a.switch_plugin, a.plugin, a.type, a.tag, a.pattern, a.where.file, a.where.line, a.targets) ==
          std::tie(b.switch_plugin, b.plugin, b.type, b.tag, b.pattern, b.where.file, b.where.line, b.targets));
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_FALSE(wire::decode_rules(bytes.substr(0, size), "switch"));
  CHECK_FALSE(wire::decode_rules("\xff\xff\xff\xff", "switch"));
  CHECK(wire::decode_rules(wire::encode_rules({}), "switch")->empty());
}
