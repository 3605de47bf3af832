// fork: runs a command on each file. Its exit status decides; its standard error goes to the log and to the trash.
//
// The command runs in the scratch directory of the call, which is its TMPDIR too (mktemp) and stands in MFDATA_SCRATCH_DIR.
// {PATH} is the file, which it may only read; the placeholders of names ({ORIGINAL_BASENAME} ...) are known too, any other
// {WORD} is refused at the start. It prints "FILEPATH: PATH" for each file that it
// made: they go to dest_dir, with the tags of the input.
#include <mfdata/command.hpp>
#include <mfdata/content.hpp>
#include <mfdata/naming.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace sdk = mfdata::sdk;

namespace {

constexpr std::string_view kMark = "FILEPATH:";

struct NotCopied {
  sdk::Result result;
};

const std::vector<std::string>& known_words() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> known = {"PATH"};
    known.insert(known.end(), sdk::placeholders().begin(), sdk::placeholders().end());
    return known;
  }();
  return all;
}

std::string value_of(const std::string& word, const sdk::File& file) {
  return word == "PATH" ? file.path() : sdk::placeholder(word, file).value_or("");
}

// A line for the shell in which the placeholders are its parameters $1, $2 ..: it never reads a value as a command. Inside of
// $( ), of backquotes and of what follows << other quotes count than outside: no placeholder may stand behind their beginning.
class ShellLine {
 public:
  std::string script;
  std::vector<std::string> words;  // what the parameters stand for

  explicit ShellLine(const std::string& line) {
    const sdk::Template text("command_template", line, known_words(), sdk::Template::Kind::kShell);
    for (const sdk::Template::Piece& piece : text.pieces()) {
      if (comment_ && piece.is_placeholder) {
        script += '{' + piece.text + '}';
      } else if (piece.is_placeholder) {
        parameter(piece.text);
      } else {
        literal(piece.text);
      }
    }
  }

 private:
  // Takes over what is no placeholder, and notices quotes.
  void literal(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      const bool word_begins = script.empty() || std::isspace(static_cast<unsigned char>(script.back()));
      nested_ = nested_ || (!comment_ && quote_ != '\'' && (c == '`' || text.compare(i, 2, "$(") == 0 || text.compare(i, 2, "<<") == 0));
      comment_ = c != '\n' && (comment_ || (quote_ == 0 && c == '#' && word_begins));
      script += c;
      if (comment_) continue;
      if (c == '\\' && quote_ != '\'' && i + 1 < text.size()) {
        script += text[++i];
      } else if (c == '\'' || c == '"') {
        quote_ = quote_ == 0 ? c : quote_ == c ? 0 : quote_;
      }
    }
  }

  void parameter(const std::string& word) {
    if (nested_) throw sdk::Error(MFDATA_E_ARG, "command_template: {" + word + "} stands behind a $(, a ` or a <<, where its quotes would not hold: keep it in a variable before, f={" + word + "}; and write \"$f\" there");
    if (quote_ == '\'') throw sdk::Error(MFDATA_E_ARG, "command_template: {" + word + "} stands between single quotes, where the shell takes it as it is: leave them away");
    words.push_back(word);
    const std::string parameter = "${" + std::to_string(words.size()) + '}';
    script += quote_ == '"' ? parameter : '"' + parameter + '"';
  }

  char quote_ = 0;
  bool nested_ = false, comment_ = false;
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
        arguments_("command", context.texts("command"), known_words()),
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
    command.environment = {"MFDATA_SCRATCH_DIR=" + command.directory, "TMPDIR=" + command.directory};
    command.deadline_ns = sdk::command_deadline(file.context(), timeout_s_);
    if (line_.script.empty()) {
      command.arguments = arguments_.filled([&](const std::string& word) { return value_of(word, file); });
    } else {
      command.arguments = {"/bin/sh", "-c", line_.script, "sh"};
      for (const std::string& word : line_.words) command.arguments.push_back(value_of(word, file));
    }
    const sdk::CommandResult result = sdk::run(command);
    if (!result.errors.empty()) file.context().warning("the command says: " + result.errors);
    if (!result.succeeded()) return sdk::Result::retry("the command failed: " + result.reason());
    std::vector<std::string> copied;
    for (const std::string& path : returns_paths_ ? paths_in(result.output) : std::vector<std::string>()) {
      try {
        take(file, path, command.directory, copied).move_to(dest_dir_);
      } catch (const NotCopied& copy) {
        return copy.result;
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
    if (sdk::Result whole = sdk::copy_whole(path, copy); whole.code != MFDATA_OK) throw NotCopied{std::move(whole)};
    fs::permissions(copy.path(), fs::status(path).permissions() | fs::perms::owner_read | fs::perms::owner_write, code);
    copied.push_back(path);
    return copy;
  }

  sdk::CommandTemplate arguments_;
  ShellLine line_;
  double timeout_s_;
  bool returns_paths_, anywhere_;
  std::string dest_dir_;
};

MFDATA_PLUGIN("fork", "1.0.0", "runs a command on each file", "BSD-3-Clause",
              sdk::step<Fork>("main", "runs the command, and passes on the files that it names"))
