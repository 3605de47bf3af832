#include <doctest/doctest.h>

#include <mfdata/command.hpp>
#include <mfdata/naming.hpp>

namespace sdk = mfdata::sdk;
using Kind = sdk::Template::Kind;

static std::string filled(const std::string& text, Kind kind) {
  return sdk::Template("key", text, {"PATH", "ORIGINAL_BASENAME", "ORIGINAL_DIRNAME", "ORIGINAL_UID"}, kind)
      .filled([](const std::string& word) { return '<' + word + '>'; });
}
static std::string refused(const std::string& text, Kind kind) {
  try {
    return "not refused: " + filled(text, kind);
  } catch (const sdk::Error& error) {
    return error.what();
  }
}
static std::string refused_name(const std::string& text) {
  try {
    sdk::NameTemplate name(text);
    return "not refused";
  } catch (const sdk::Error& error) {
    return error.what();
  }
}

TEST_CASE("unknown_placeholder_is_refused_with_its_key_and_what_was_meant") {
  for (const Kind kind : {Kind::kName, Kind::kCommand, Kind::kShell}) {
    CHECK(refused("x_{PAHT}", kind) ==
          "key: there is no placeholder {PAHT}, did you mean {PATH}? (there are {PATH}, {ORIGINAL_BASENAME}, {ORIGINAL_DIRNAME}, "
          "{ORIGINAL_UID}; the text {PAHT} itself is written {{PAHT}})");
    CHECK(refused("{ORIGINAL_NAME}", kind).find("did you mean {ORIGINAL_BASENAME}?") != std::string::npos);
    CHECK(refused("{BASENAME}", kind).find("did you mean {ORIGINAL_BASENAME}?") != std::string::npos);
    CHECK(refused("{original_uid}", kind).find("did you mean {ORIGINAL_UID}?") != std::string::npos);
    CHECK(refused("{hom}/x", kind).find("did you mean {home}?") != std::string::npos);
    CHECK(refused("{print}", kind).find("did you mean") == std::string::npos);
  }
  CHECK(refused_name("%Y/{ORIGINAL_NAME}").find("dest_basename: there is no placeholder {ORIGINAL_NAME}, did you mean") == 0);
  CHECK(refused_name("%Y%m%d/{ORIGINAL_UID}") == "not refused");
}

TEST_CASE("two_braces_in_a_template_are_one") {
  CHECK(filled("a{PATH}b", Kind::kName) == "a<PATH>b");
  CHECK(filled("{{PATH}}", Kind::kName) == "{PATH}");
  CHECK(filled("{{{PATH}}}", Kind::kName) == "{<PATH>}");
  CHECK(filled("{{{{PATH}}}}", Kind::kName) == "{{PATH}}");
  CHECK(filled("a{{b", Kind::kName) == "a{b");
  CHECK(filled("a}}b", Kind::kName) == "a}b");
  for (const Kind kind : {Kind::kCommand, Kind::kShell}) {
    CHECK(filled("{{PAHT}}", kind) == "{PAHT}");
    CHECK(filled("awk {{print}}", kind) == "awk {print}");
    CHECK(filled("{{{PATH}}}", kind) == "{<PATH>}");
    CHECK(filled("{{{{PATH}}}}", kind) == "{{PATH}}");
    CHECK(filled("{{PATH}", kind) == "{<PATH>");
    CHECK(filled("{PATH}}}", kind) == "<PATH>}}");
  }
}

TEST_CASE("name_refuses_every_brace_that_is_no_placeholder") {
  for (const char* text : {"{}", "{ORIGINAL-UID}", "{ PATH }", "{PATH", "PATH}", "a{b{PATH}", "{1}"}) {
    CHECK_MESSAGE(refused(text, Kind::kName).find("key: ") == 0, text);
  }
}

TEST_CASE("what_looks_like_no_placeholder_stays_in_a_command") {
  for (const char* text : {"{}", "{ print $1 }", "{print $1}", R"({"a": {"b": [1]}})", "${PATH}", "${VAR:-x}", "${f%.gz}", "%{http_code}",
                           "a{2}", "{{.Name}}", "{{ name }}", "{1..3}", "{a,b}", "}{", "{", "}", "{PATH", "x={};", "{é}"}) {
    CHECK_MESSAGE(filled(text, Kind::kCommand) == text, text);
    CHECK_MESSAGE(filled(text, Kind::kShell) == text, text);
  }
  CHECK(filled("@{PATH}", Kind::kCommand) == "@<PATH>");
  CHECK(filled("50%{PATH}", Kind::kCommand) == "50%<PATH>");
  CHECK(filled(R"({"path": "{PATH}"})", Kind::kCommand) == R"({"path": "<PATH>"})");
  CHECK(filled("\\{PAHT} \\\\{PATH}", Kind::kShell) == "\\{PAHT} \\\\<PATH>");
}

TEST_CASE("unknown_conversion_of_strftime_in_a_name_is_refused") {
  for (const char* text : {"%Q/{ORIGINAL_UID}", "100%", "%{ORIGINAL_UID}", "%100d", "%é", "%E", "%-"}) {
    CHECK_MESSAGE(refused_name(text).find("dest_basename: strftime(3) does not know \"%") == 0, text);
  }
  CHECK(refused_name("%Q").find("(a percent sign itself is \"%%\")") != std::string::npos);
  for (const char* text : {"%Y%m%d/%H%M%S", "%-d.%_m", "%Ey", "%05Y", "%j", "%%", "100%%Q", "%z"}) {
    CHECK_MESSAGE(refused_name(text) == "not refused", text);
  }
}

TEST_CASE("name_with_a_part_that_no_file_can_have_is_refused") {
  for (const char* text : {"..", "../{ORIGINAL_UID}", "%Y/../{ORIGINAL_UID}", "{ORIGINAL_UID}/..", "./{ORIGINAL_UID}", "."}) {
    CHECK_MESSAGE(refused_name(text).find("files only go below dest_dir") != std::string::npos, text);
  }
  for (const char* text : {"/%Y/{ORIGINAL_UID}", "%Y//{ORIGINAL_UID}", "%Y/", "/"}) {
    CHECK_MESSAGE(refused_name(text).find("a part of it is empty") != std::string::npos, text);
  }
  CHECK(refused_name("../x").find("dest_basename: \"../x\" cannot be a name: a part of it is \"..\"") == 0);
  for (const char* text : {"", "...", "..{ORIGINAL_UID}", ".{ORIGINAL_UID}", "{ORIGINAL_UID}..", "a..b/c", "%Y/.x", "{{}}"}) {
    CHECK_MESSAGE(refused_name(text) == "not refused", text);
  }
}

TEST_CASE("command_without_a_file_knows_no_placeholder") {
  CHECK(sdk::CommandTemplate("command", {"awk", "{{print}}"}, {}).plain() == std::vector<std::string>{"awk", "{print}"});
  try {
    sdk::CommandTemplate("command", {"tool", "{PATH}"}, {});
    CHECK_MESSAGE(false, "not refused");
  } catch (const sdk::Error& error) {
    CHECK(std::string(error.what()).find("command: there is no placeholder {PATH} (there is none of a file here; ") == 0);
  }
}
