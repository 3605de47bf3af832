#include "command_line.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "libmfdata/config_value.hpp"
#include "libmfdata/printable.hpp"

namespace mfdata::tools {
namespace {

std::string quoted(const std::string& text) { return '"' + printable(text, 100) + '"'; }

// A limit as a person writes it: 31536000 s are "365d".
std::string spelled_limit(double seconds) {
  return seconds >= 86'400 ? std::to_string(static_cast<std::int64_t>(seconds / 86'400)) + 'd'
                           : std::to_string(static_cast<std::int64_t>(seconds)) + 's';
}

template <class Value>
CLI::Option* add_time(CLI::App& app, const std::string& name, Value& seconds, const std::string& help, double most_s) {
  const auto take = [&seconds, most_s, name](const std::string& text) {
    const auto given = duration_seconds(ConfigValue(text));
    if (!given || *given > most_s)
      throw CLI::ValidationError(name, "takes a time from 0 to " + spelled_limit(most_s) + " like 90, 200ms, 10m, 2h or 7d, not " + quoted(text));
    seconds = *given;
  };
  return app.add_option_function<std::string>(name, take, help)->type_name("TIME (0 to " + spelled_limit(most_s) + ")");
}

// The command that was named last: of "mfdata trash lst" it is "trash".
const CLI::App& deepest(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : deepest(*parsed.back());
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() ? full_name(*app.get_parent()) + ' ' + app.get_name() : std::string(program_invocation_short_name);
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> names = app.get_parent() ? options_of(*app.get_parent()) : std::vector<std::string>();
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// What the first word is that nobody expected, and what it may have meant; empty: there is none.
std::string about_unknown_word(const CLI::App& app) {
  const std::vector<std::string> unknown = app.remaining(true);
  if (unknown.empty()) return "";
  const CLI::App& command = deepest(app);
  const std::string& word = unknown.front();
  const bool is_option = word.starts_with("-");
  const std::vector<std::string> commands = commands_of(command);
  const std::string name = is_option ? word.substr(0, word.find('=')) : word;
  const auto near = near_miss(name, is_option ? options_of(command) : commands);
  const std::string meant = near ? ": did you mean " + quoted(*near) + '?' : "";
  if (is_option) return "there is no option " + quoted(name) + meant;
  return commands.empty() ? "unexpected argument " + quoted(word) : "there is no command " + quoted(word) + meant;
}

// A file that the command opens must not become its output. What is written to a closed one fails, as it would have.
void occupy_closed_descriptors() {
  for (int number = STDIN_FILENO; number <= STDERR_FILENO; ++number) {
    if (::fcntl(number, F_GETFD) < 0) (void)::open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

// The exit code of a command whose output may have met a full disk or a closed pipe.
int with_its_output(const std::string& name, int code) {
  std::cout.flush();
  const int errnum = std::fflush(stdout) != 0 ? errno : 0;
  if (errnum == 0 && std::cout && std::ferror(stdout) == 0) return code;
  std::cerr << name << ": the output cannot be written" << (errnum != 0 ? std::string(": ") + std::strerror(errnum) : "") << '\n';
  return code == 0 ? 1 : code;
}

}  // namespace

CLI::Option* add_real(CLI::App& app, const std::string& name, double& value, double least, double most, const std::string& help) {
  const auto spelled = [](double number) { return std::to_string(static_cast<std::int64_t>(number)); };
  const std::string range = spelled(least) + " to " + spelled(most);
  const auto take = [&value, least, most, range, name](const std::string& text) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (!whole || !(number >= least && number <= most)) throw CLI::ValidationError(name, "takes a number from " + range + ", not " + quoted(text));
    value = number;
  };
  return app.add_option_function<std::string>(name, take, help)->type_name("NUMBER (" + range + ")");
}

CLI::Option* add_seconds(CLI::App& app, const std::string& name, double& seconds, const std::string& help, double most_s) {
  return add_time(app, name, seconds, help, most_s);
}

CLI::Option* add_seconds(CLI::App& app, const std::string& name, std::optional<double>& seconds, const std::string& help, double most_s) {
  return add_time(app, name, seconds, help, most_s);
}

CLI::Option* add_bytes(CLI::App& app, const std::string& name, std::uint64_t& bytes, std::uint64_t most, const std::string& help) {
  const auto take = [&bytes, most, name](const std::string& text) {
    const auto given = size_bytes(ConfigValue(text));
    if (!given || *given > most)
      throw CLI::ValidationError(name, "takes 0 to " + std::to_string(most) + " bytes, like 1000, 4KiB or 10MB, not " + quoted(text));
    bytes = *given;
  };
  return app.add_option_function<std::string>(name, take, help)->type_name("BYTES (0 to " + std::to_string(most) + ")");
}

CLI::Validator assignment() {
  return {[](const std::string& text) {
            const std::size_t equals = text.find('=');
            return equals == std::string::npos || equals == 0 ? "a tag is written NAME=VALUE, not " + quoted(text) : "";
          },
          ""};
}

int run_command_line(CLI::App& app, int argc, char** argv, const std::function<int()>& run) {
  occupy_closed_descriptors();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return with_its_output(app.get_name(), app.exit(error));  // --help, --version
    const std::string unknown = about_unknown_word(app);
    const CLI::App& command = deepest(app);
    const std::string name = full_name(command);
    std::cerr << name << ": " << (unknown.empty() ? error.what() : unknown) << " (see " << name << " --help)\n";
    return 2;
  }
  try {
    return with_its_output(full_name(deepest(app)), run());
  } catch (const std::exception& error) {  // no memory, or a directory that is gone under the command
    std::cerr << full_name(deepest(app)) << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace mfdata::tools
