#include <doctest/doctest.h>

#include "libmfdata/config_rules.hpp"
#include "libmfdata/switch_rules.hpp"
#include "libmfdata/toml_reader.hpp"

using namespace mfdata;

static ConfigValue parsed(const std::string& text) {
  auto value = parse_toml(text, "f.toml");
  REQUIRE_MESSAGE(value, (value ? "" : value.error().text));
  return *value;
}
static Problems problems_of(const std::string& text, ConfigFile file = ConfigFile::kMfdata) {
  Problems problems;
  check_rules(parsed(text), file, problems);
  return problems;
}
static std::string error_of(const std::string& text) {
  auto value = parse_toml(text, "f.toml");
  REQUIRE_FALSE(value);
  return value.error().text;
}

TEST_CASE("an_unknown_key_is_named_with_its_place_and_what_was_meant") {
  const Problems problems = problems_of("[data]\ndurability = \"process\"\nentry_stepp = \"a/main\"\n");
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].where.spell() == "f.toml:3:15");
  CHECK(problems[0].text == "unknown key \"entry_stepp\" in [data]");
  CHECK(problems[0].hint == "did you mean \"entry_step\"?");
  CHECK(problems[0].where.text == "entry_stepp = \"a/main\"");
  CHECK(problems_of("[dta]\n")[0].hint == "did you mean \"data\"?");
}

TEST_CASE("every_mistake_is_reported_at_once") {
  const Problems problems = problems_of(
      "[data]\ndurability = \"always\"\nmax_file_size = \"big\"\nrescan_interval = 0\nignore = [1]\nmin_free_space = \"200%\"\n"
      "[loader]\nmax_crashes = \"3\"\nmax_queued = 5\n[log]\nlevel = 3\n");
  CHECK(problems.size() == 8);
}

TEST_CASE("durations_and_sizes_take_units") {
  CHECK(duration_seconds(ConfigValue(std::string("10m"))) == 600);
  CHECK(duration_seconds(ConfigValue(std::string("200ms"))) == 0.2);
  CHECK(duration_seconds(ConfigValue(std::int64_t{90})) == 90);
  CHECK_FALSE(duration_seconds(ConfigValue(std::string("ten"))));
  CHECK_FALSE(duration_seconds(ConfigValue(std::string("-5s"))));
  CHECK_FALSE(duration_seconds(ConfigValue(true)));
  CHECK(size_bytes(ConfigValue(std::string("1.5GB"))) == 1'500'000'000);
  CHECK(size_bytes(ConfigValue(std::string("4KiB"))) == 4096);
  CHECK_FALSE(size_bytes(ConfigValue(std::string("1e300TB"))));
}

TEST_CASE("variants_fall_back_from_the_longest_name_to_the_plain_key") {
  const std::string text = "[loader]\nmax_crashes = 1\n\"max_crashes[PROD]\" = 2\n\"max_crashes[PROD_PARIS]\" = 3\n";
  const auto chosen = [&](const char* name) { return merge_layers({parsed(text)}, name).find("loader")->find("max_crashes")->integer(); };
  CHECK(chosen("") == 1);
  CHECK(chosen("TEST") == 1);
  CHECK(chosen("PROD") == 2);
  CHECK(chosen("PROD_LYON") == 2);
  CHECK(chosen("PROD_PARIS") == 3);
  CHECK(chosen("PROD_PARIS_2") == 3);
  CHECK(chosen("PRODUCTION") == 1);
}

TEST_CASE("a_higher_layer_wins_and_keeps_its_place") {
  auto low = parse_toml("[loader]\nmax_crashes = 1\nstep_limit = 5\n", "low.toml");
  auto high = parse_toml("[loader]\nmax_crashes = 2\n", "high.toml");
  const ConfigValue merged = merge_layers({*low, *high}, "");
  CHECK(merged.at_path("loader.max_crashes")->integer() == 2);
  CHECK(merged.at_path("loader.max_crashes")->where().file == "high.toml");
  CHECK(merged.at_path("loader.step_limit")->integer() == 5);
}

TEST_CASE("hostile_toml_is_refused_before_it_is_parsed") {
  CHECK(error_of("a = " + std::string(6000, '[')).find("nested more than 32") != std::string::npos);
  CHECK(error_of("a" + std::string(20'000, '.') + "b = 1").find("16 dots") != std::string::npos);
  std::string spread = "a";
  for (int part = 0; part < 1000; ++part) spread += part % 2 ? " . a" : "\t.\ta";
  CHECK(error_of(spread + " = 1").find("16 dots") != std::string::npos);
  CHECK(error_of("[" + spread + "]").find("16 dots") != std::string::npos);
  CHECK(parsed("a = [ 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0 ]").find("a")->array().size() == 18);
  CHECK(error_of("a = [" + std::string(100'000, ',') + "]").find("20000 elements") != std::string::npos);
  CHECK(error_of(std::string(2'000'000, ' ')).find("1 MiB") != std::string::npos);
  CHECK(error_of("a = \"" + std::string(70'000, 'x') + "\"").find("longer than 65536") != std::string::npos);
  CHECK(error_of(std::string("a = 1\0", 6)).find("NUL") != std::string::npos);
  CHECK(error_of("a = 1\nb = '\xff\xff'").find("f.toml:2: a byte that is no UTF-8") == 0);
  CHECK(error_of("a = 1 # \xed\xa0\x80").find("no UTF-8") != std::string::npos);
  CHECK(parsed("a = '\xc3\xa9 \xf0\x9f\x98\x80'").find("a")->string() == "\xc3\xa9 \xf0\x9f\x98\x80");
  CHECK(error_of("a = 99999999999999999999").find("64 bits") != std::string::npos);
  CHECK(error_of("a = 1\na = 2").find("f.toml:") == 0);
  CHECK(error_of("a = 1979-05-27").find("dates") != std::string::npos);
  CHECK(error_of("[data\n").size() < 1000);
  CHECK(parsed("a = \"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\" # [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n").find("a") != nullptr);
  CHECK(parsed("a = 9223372036854775807").find("a")->integer() == INT64_MAX);
}

TEST_CASE("many_rules_stand_in_a_table_of_their_own_and_a_line_that_is_too_long_says_so") {
  std::string lines, inline_table;
  for (int i = 0; i < 5000; ++i) {
    const std::string rule = "\"text " + std::to_string(i) + " *\" = [\"main\", \"other/main*\"]";
    lines += rule + '\n';
    inline_table += (i == 0 ? "" : ", ") + rule;
  }
  const std::string head = "[[switch_rules]]\ntype = \"fnmatch\"\ntag = \"t\"\n";
  const std::string text = head + "[switch_rules.rules]\n" + lines + "[[switch_rules]]\ntype = \"alwaystrue\"\n[switch_rules.rules]\n\"\" = [\"x/y\"]\n";
  Problems problems;
  const std::vector<SwitchRule> rules = switch_rules("p", parsed(text), problems);
  CHECK(problems.empty());
  REQUIRE(rules.size() == 5001);
  CHECK(rules[4999].pattern == "text 4999 *");
  CHECK(rules[4999].where.line == 5004);
  CHECK(rules[4999].targets == std::vector<std::string>{"p/main", "other/main*"});
  CHECK(rules[5000].type == "alwaystrue");
  const std::string error = error_of(head + "rules = { " + inline_table + " }\n");
  CHECK(error.find("f.toml:4: a line is longer than 65536 bytes") == 0);
  CHECK(error.find("[switch_rules.rules]") != std::string::npos);
}

TEST_CASE("every_default_passes_its_own_rule") {
  for (const ConfigFile file : {ConfigFile::kMfdata, ConfigFile::kPlugin}) {
    for (const KeyRule& rule : key_rules(file)) {
      CHECK_MESSAGE(std::string(rule.help).size() > 3, rule.key);
      if (!rule.preset) continue;
      const SectionReader reader(file, rule.section, nullptr);
      if (rule.type == KeyRule::Type::kDuration) CHECK(reader.seconds(rule.key) >= rule.min);
      if (rule.type == KeyRule::Type::kInteger) CHECK(reader.integer(rule.key) >= static_cast<std::int64_t>(rule.min));
    }
  }
}

TEST_CASE("a_step_that_says_nothing_has_the_documented_defaults") {
  const SectionReader step(ConfigFile::kPlugin, "step.*", nullptr);
  CHECK(step.integer("numprocesses") == 1);
  CHECK(step.seconds("timeout") == 600);
  CHECK(step.seconds("max_age") == 0);
  CHECK(step.text("failure_policy") == "keep");
  CHECK(step.text("unmatched_policy") == "delete");
  CHECK(step.integer("retry_total") == 0);
  CHECK(step.seconds("retry_min_wait") == 10);
  CHECK(step.seconds("retry_max_wait") == 120);
  CHECK(step.seconds("retry_backoff") == 0);
  CHECK(step.integer("max_size") == 100);
  CHECK(step.seconds("max_wait") == 10);
  const SectionReader loader(ConfigFile::kMfdata, "loader", nullptr);
  CHECK(loader.integer("step_limit") == 1000);
}

TEST_CASE("a_predicate_with_its_arguments_is_read") {
  using Words = std::vector<std::string>;
  const auto arguments = [](const std::string& pattern) {
    auto call = parse_predicate_call(pattern);
    REQUIRE_MESSAGE(call, pattern);
    CHECK(call->predicate == "is_it");
    return call->arguments;
  };
  CHECK(arguments("is_it") == Words{});
  CHECK(arguments("is_it()") == Words{});
  CHECK(arguments("is_it( )") == Words{});
  CHECK(arguments("is_it(a, b c ,d)") == Words{"a", "b c", "d"});
  CHECK(arguments(R"-(is_it("a, (b)" , "", c))-") == Words{"a, (b)", "", "c"});
  CHECK(arguments(R"(is_it("\"\\"))") == Words{"\"\\"});
  for (const char* wrong : {"", "(a)", "is it", "is_it(", "is_it(a", "is_it(a,", "is_it(a,)", "is_it(,a)", "is_it(a)b", "is_it(a))", "is_it(\"a", "is_it(\"a\\", "is_it(a(b))",
                            "is_it(\"a\"b)", "is_it(a\"b\")"}) {
    CHECK_MESSAGE(!parse_predicate_call(wrong), wrong);
  }
}
