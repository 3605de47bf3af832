// fork: runs a command on each file. Its exit status decides; its standard error goes to the log and to the trash.
//
// The command runs in the scratch directory of the call (also in MFDATA_SCRATCH_DIR). {PATH} is the file, which it may only
// read; the placeholders of names ({ORIGINAL_BASENAME} ...) are known too. It prints "FILEPATH: PATH" for each file that it
// made: they go to dest_dir, with the tags of the input.
#include <mfdata/command.hpp>
#include <mfdata/naming.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace sdk = mfdata::sdk;

namespace {

constexpr std::string_view kMark = "FILEPATH:";

// What {WORD} stands for; nothing: no placeholder.
std::optional<std::string> value_of(const std::string& word, const sdk::File& file) {
  return word == "PATH" ? file.path() : sdk::placeholder(word, file);
}

// The word of "{WORD}" at this place; empty: there is none.
std::string word_at(const std::string& text, std::size_t at) {
  const std::size_t close = text[at] == '{' ? text.find('}', at) : std::string::npos;
  const std::string word = close == std::string::npos ? "" : text.substr(at + 1, close - at - 1);
  static const std::vector<std::string> kWords = {"PATH", "ORIGINAL_BASENAME", "ORIGINAL_DIRNAME", "ORIGINAL_UID", "STEP_COUNTER", "RANDOM_ID"};
  return std::find(kWords.begin(), kWords.end(), word) == kWords.end() ? "" : word;
}

std::string filled(const std::string& text, const sdk::File& file) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::string word = word_at(text, i);
    out += word.empty() ? std::string(1, text[i]) : value_of(word, file).value_or("");
    i += word.empty() ? 1 : word.size() + 2;
  }
  return out;
}

// A line for the shell in which the placeholders are its parameters $1, $2 ..: it never reads a value as a command. Inside of
// $( ), of backquotes and of what follows << other quotes count than outside: no placeholder may stand behind their beginning.
struct ShellLine {
  std::string script;
  std::vector<std::string> words;  // what the parameters stand for

  explicit ShellLine(const std::string& line) {
    char quote = 0;
    bool nested = false, comment = false;
    for (std::size_t i = 0; i < line.size();) {
      nested = nested || (quote != '\'' && (line[i] == '`' || line.compare(i, 2, "$(") == 0 || line.compare(i, 2, "<<") == 0));
      comment = line[i] != '\n' && (comment || (quote == 0 && line[i] == '#' && (i == 0 || std::isspace(static_cast<unsigned char>(line[i - 1])))));
      if (comment) {
        script += line[i++];
        continue;
      }
      const std::string word = i > 0 && line[i - 1] == '$' ? "" : word_at(line, i);  // ${PATH} is the shell's own
      if (word.empty()) {
        i += literal(line, i, quote);
        continue;
      }
      if (nested) throw sdk::Error(MFDATA_E_ARG, "command_template: {" + word + "} stands behind a $(, a ` or a <<, where its quotes would not hold: keep it in a variable before, f={" + word + "}; and write \"$f\" there");
      if (quote == '\'') throw sdk::Error(MFDATA_E_ARG, "command_template: {" + word + "} stands between single quotes, where the shell takes it as it is: leave them away");
      words.push_back(word);
      const std::string parameter = "${" + std::to_string(words.size()) + '}';
      script += quote == '"' ? parameter : '"' + parameter + '"';
      i += word.size() + 2;
    }
  }

 private:
  // Takes over what is no placeholder, and notices quotes; how much it took.
  std::size_t literal(const std::string& line, std::size_t at, char& quote) {
    const char c = line[at];
    const std::size_t length = c == '\\' && quote != '\'' && at + 1 < line.size() ? 2 : 1;
    if (length == 1 && (c == '\'' || c == '"')) {
      if (quote == 0) {
        quote = c;
      } else if (quote == c) {
        quote = 0;
      }
    }
    script += line.substr(at, length);
    return length;
  }
};

std::vector<std::string> paths_in(const std::string& output) {
  std::vector<std::string> paths;
  for (std::size_t at = 0; at < output.size();) {
    const std::size_t end = std::min(output.find('\n', at), output.size());
    const std::string_view line = std::string_view(output).substr(at, end - at);
    if (line.starts_with(kMark)) {
      const std::size_t begin = line.find_first_not_of(' ', kMark.size());
      if (begin != std::string_view::npos) paths.emplace_back(line.substr(begin));
    }
    at = end + 1;
  }
  return paths;
}

}  // namespace

class Fork : public sdk::Step {
 public:
  explicit Fork(const sdk::Context& context)
      : Step(context),
        arguments_(context.texts("command")),
        line_(context.text("command_template", "")),
        timeout_s_(context.real("command_timeout", 0)),
        returns_paths_(context.flag("command_returning_path", true)),
        anywhere_(context.flag("allow_paths_anywhere", false)),
        dest_dir_(context.text("dest_dir")) {
    if (arguments_.empty() == line_.script.empty()) throw sdk::Error(MFDATA_E_ARG, "write either command = [\"program\", \"{PATH}\"] or command_template");
  }

  sdk::Result process(sdk::File& file) override {
    sdk::Command command;
    command.directory = file.context().scratch_dir();
    command.environment = {"MFDATA_SCRATCH_DIR=" + command.directory};
    command.deadline_ns = sdk::command_deadline(file.context(), timeout_s_);
    if (line_.script.empty()) {
      for (const std::string& argument : arguments_) command.arguments.push_back(filled(argument, file));
    } else {
      command.arguments = {"/bin/sh", "-c", line_.script, "sh"};
      for (const std::string& word : line_.words) command.arguments.push_back(value_of(word, file).value_or(""));
    }
    const sdk::CommandResult result = sdk::run(command);
    if (!result.errors.empty()) file.context().warning("the command says: " + result.errors);
    if (!result.succeeded()) return sdk::Result::retry("the command failed: " + result.reason());
    std::vector<std::string> copied;
    for (const std::string& path : returns_paths_ ? paths_in(result.output) : std::vector<std::string>()) {
      try {
        take(file, path, command.directory, copied).move_to(dest_dir_);
      } catch (const std::filesystem::filesystem_error& error) {
        return error.code() == std::errc::no_space_on_device ? sdk::Result::disk_full(error.what()) : sdk::Result::retry(error.what());
      }
    }
    for (const std::string& path : copied) {
      std::error_code code;
      if (!std::filesystem::remove(path, code)) file.context().warning("cannot remove " + path + ", which was taken: " + code.message());
    }
    return sdk::Result::ok();
  }

 private:
  // A file that the command made. From outside of its scratch directory it is copied, and removed there once all that the
  // command named was taken.
  sdk::File take(const sdk::File& file, const std::string& path, const std::string& scratch, std::vector<std::string>& copied) const {
    namespace fs = std::filesystem;
    std::error_code code;
    if (fs::equivalent(fs::path(scratch) / path, file.path(), code)) return file;  // the input itself goes on
    const bool inside = !path.starts_with('/') || path.starts_with(scratch + '/');
    if (inside) return file.context().adopt(path, file);
    if (!anywhere_) {
      throw sdk::Error(MFDATA_E_ARG, "the command names " + path + ", which does not stand in its scratch directory (see allow_paths_anywhere)");
    }
    if (fs::symlink_status(path).type() != fs::file_type::regular) throw sdk::Error(MFDATA_E_ARG, "the command names " + path + ", which is no regular file");
    sdk::File copy = file.context().tmp_file(file);
    fs::copy_file(path, copy.path(), fs::copy_options::overwrite_existing);
    copied.push_back(path);
    return copy;
  }

  std::vector<std::string> arguments_;
  ShellLine line_;
  double timeout_s_;
  bool returns_paths_, anywhere_;
  std::string dest_dir_;
};

MFDATA_PLUGIN("fork", "1.0.0", "runs a command on each file", "BSD-3-Clause",
              sdk::step<Fork>("main", "runs the command, and passes on the files that it names"))
