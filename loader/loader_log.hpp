// The logs: loader.log for the loader itself, <plugin>.<step>.log for each step, rotated; the loader's lines also go
// to stderr, and those of a step while its file cannot be written. The only place that knows spdlog. Control bytes in a line are escaped, whoever wrote it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libmfdata/settings.hpp"

namespace spdlog {
class logger;
}

namespace mfdata {

enum class Level { kDebug, kInfo, kWarning, kError };

class LoaderLog {
 public:
  explicit LoaderLog(const GeneralSettings& settings);
  ~LoaderLog();

  void write(Level level, const std::string& text);
  bool writes(Level level) const;  // of the loader's own lines
  // Lines of a worker's output, of this step or (empty) of a chore of the loader: "<3>text" as sd-daemon(3) has it, or plain.
  void write_output(const std::string& step, const std::string& lines);
  void write_step(const std::string& step, Level level, const std::string& text);
  // What is wrong in a configuration that is used all the same.
  void write_problems(const Settings& settings);
  void look();    // about once a second: files that were removed or renamed are made anew
  void reopen();  // all of them
  std::vector<std::string> problems() const;  // of files that cannot be written now

 private:
  class FileSink;
  std::shared_ptr<spdlog::logger> make_logger(const std::string& name, bool also_stderr);
  spdlog::logger& logger_of(const std::string& step);

  GeneralSettings settings_;
  std::vector<std::shared_ptr<FileSink>> files_;
  std::shared_ptr<spdlog::logger> own_;
  std::map<std::string, std::shared_ptr<spdlog::logger>> steps_;
};

}  // namespace mfdata
