#include "loader_log.hpp"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>

#include "libmfdata/printable.hpp"
#include "log_file.hpp"

namespace mfdata {
namespace {

spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarning: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::level::level_enum threshold(const std::string& name) {
  if (name == "debug") return spdlog::level::debug;
  if (name == "warning") return spdlog::level::warn;
  if (name == "error") return spdlog::level::err;
  return spdlog::level::info;
}

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%e%z %l %n: %v";
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","source":"%n","text":"%v"})";

std::string json_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

// What cannot be written goes to stderr, which says so once for each time. The loader's own lines are there in any case.
class LoaderLog::FileSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  FileSink(std::string path, const GeneralSettings& settings, bool also_stderr)
      : file_(std::move(path), settings.rotate_size, settings.rotate_keep), also_stderr_(also_stderr) {
    say();
  }
  void look() {
    file_.look();
    say();
  }
  void reopen() {
    file_.reopen();
    say();
  }
  const std::string& problem() const { return file_.problem(); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const bool written = file_.write({line.data(), line.size()});
    say();
    if (!written && !also_stderr_) (void)std::fwrite(line.data(), 1, line.size(), stderr);
  }
  void flush_() override {}

 private:
  void say() {
    const bool fails = !file_.problem().empty();
    if (fails && !said_) std::fprintf(stderr, "mfdata-loader: %s; its lines go here until it can be written\n", printable(file_.problem()).c_str());
    if (!fails && said_) std::fprintf(stderr, "mfdata-loader: the log %s is written again\n", printable(file_.path()).c_str());
    said_ = fails;
  }
  LogFile file_;
  bool also_stderr_;
  bool said_ = false;
};

// Loggers are not registered with spdlog: its registry is shared by the whole process.
std::shared_ptr<spdlog::logger> LoaderLog::make_logger(const std::string& name, bool also_stderr) {
  const GeneralSettings& settings = settings_;
  files_.push_back(std::make_shared<FileSink>(settings.log_directory + '/' + name + ".log", settings, also_stderr));
  std::vector<spdlog::sink_ptr> sinks = {files_.back()};
  if (also_stderr) sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_st>());
  auto logger = std::make_shared<spdlog::logger>(name, sinks.begin(), sinks.end());
  logger->set_pattern(settings.log_json ? kJsonPattern : kTextPattern);
  logger->set_level(also_stderr ? threshold(settings.log_level) : spdlog::level::trace);  // of a step: its worker chose
  logger->flush_on(spdlog::level::trace);
  logger->set_error_handler([](const std::string&) {});  // a stderr that is full loses log lines, nothing else
  return logger;
}

LoaderLog::LoaderLog(const GeneralSettings& settings) : settings_(settings), own_(make_logger("loader", true)) {}
LoaderLog::~LoaderLog() = default;

void LoaderLog::look() {
  for (const auto& file : files_) file->look();
}

void LoaderLog::reopen() {
  for (const auto& file : files_) file->reopen();
}

std::vector<std::string> LoaderLog::problems() const {
  std::vector<std::string> all;
  for (const auto& file : files_) {
    if (!file->problem().empty()) all.push_back(file->problem());
  }
  return all;
}

void LoaderLog::write(Level level, const std::string& text) {
  const std::string line = printable(text);
  own_->log(level_of(level), "{}", settings_.log_json ? json_escaped(line) : line);
}

bool LoaderLog::writes(Level level) const { return own_->should_log(level_of(level)); }

spdlog::logger& LoaderLog::logger_of(const std::string& step) {
  auto& logger = steps_[step];
  if (!logger) logger = make_logger(step, false);
  return *logger;
}

void LoaderLog::write_step(const std::string& step, Level level, const std::string& text) {
  const std::string line = printable(text);
  logger_of(step).log(level_of(level), "{}", settings_.log_json ? json_escaped(line) : line);
}

void LoaderLog::write_problems(const Settings& settings) {
  constexpr std::size_t kShown = 100;  // of each kind: rules may be wrong by the ten thousand, and the loop waits for the log
  const auto write_all = [&](const Problems& problems, Level level, const std::string& what) {
    for (std::size_t i = 0; i < problems.size() && i < kShown; ++i) write(level, what + problems[i].spell());
    if (problems.size() > kShown) write(level, what + "and " + std::to_string(problems.size() - kShown) + " more: mfdata check shows them");
  };
  write_all(settings.rule_problems, Level::kError, "a rule is left out: ");
  write_all(settings.target_problems, Level::kError, "files fail there: ");
  write_all(settings.warnings, Level::kWarning, "");
}

void LoaderLog::write_output(const std::string& step, const std::string& lines) {
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    std::string_view line = std::string_view(lines).substr(at, end - at);
    Level level = Level::kInfo;
    if (line.size() > 3 && line[0] == '<' && line[2] == '>' && line[1] >= '0' && line[1] <= '7') {
      level = line[1] <= '3' ? Level::kError : line[1] == '4' ? Level::kWarning : line[1] == '7' ? Level::kDebug : Level::kInfo;
      line.remove_prefix(3);
    }
    step.empty() ? write(level, std::string(line)) : write_step(step, level, std::string(line));
    at = end + 1;
  }
}

}  // namespace mfdata
