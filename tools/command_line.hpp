// What both programs' command lines share: numbers, times and sizes that are checked before a command runs, and errors
// that name the word that was meant.
//
// Every option that takes a number comes from here: CLI11 alone turns "-1" into a very large unsigned number without a
// word. A value that is no number, or lies outside its range, is wrong usage: one line on stderr, exit code 2. --help
// shows the range.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace mfdata::tools {

// A whole number from `least` to `most`.
template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& name, Number& value, Number least, Number most, const std::string& help) {
  const std::string range = std::to_string(least) + " to " + std::to_string(most);
  const auto take = [&value, least, most, range, name](const std::string& text) {
    Number number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < least || number > most)
      throw CLI::ValidationError(name, "takes a whole number from " + range + ", not \"" + text + '"');
    value = number;
  };
  return app.add_option_function<std::string>(name, take, help)->type_name("NUMBER (" + range + ")");
}

// A number from `least` to `most`, with a fraction.
CLI::Option* add_real(CLI::App& app, const std::string& name, double& value, double least, double most, const std::string& help);

inline constexpr double kYear_s = 365.0 * 86'400;
// Seconds from 0 to `most_s`, written 90, 1.5, "200ms", "10m", "2h", "7d".
CLI::Option* add_seconds(CLI::App& app, const std::string& name, double& seconds, const std::string& help, double most_s = kYear_s);
// The same, for an option whose absence means something.
CLI::Option* add_seconds(CLI::App& app, const std::string& name, std::optional<double>& seconds, const std::string& help,
                         double most_s = 100 * kYear_s);
// Bytes from 0 to `most`, written 1000, "10KB", "4KiB", "1.5GB".
CLI::Option* add_bytes(CLI::App& app, const std::string& name, std::uint64_t& bytes, std::uint64_t most, const std::string& help);

// The check of a tag, NAME=VALUE.
CLI::Validator assignment();

// Parses the command line, then runs what a callback has put into `run`. The exit code of the program: 2 for wrong
// usage, with the command or option that comes nearest to an unknown one; 1 when what it printed could not be written.
int run_command_line(CLI::App& app, int argc, char** argv, const std::function<int()>& run);

}  // namespace mfdata::tools
