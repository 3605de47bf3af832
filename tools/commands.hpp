// The commands of `mfdata`, each a function of its options; the command line itself is mfdata.cpp's. They return the
// exit code: 0 done, 1 failed or problems found, 2 wrong usage. Errors go to stderr in one line each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mfdata::tools {

int fail(const std::string& text);    // "<program>: text", 1
int misuse(const std::string& text);  // the same, 2: what was asked for makes no sense, whatever the home holds

int init(const std::string& directory, const std::string& plugins);
int check(const std::string& home, bool as_json, bool tries);  // tries: each component is started on trial
int status(const std::string& home, bool as_json, bool all_refused);
int stop(const std::string& home, double timeout_s);
int reload(const std::string& home, double timeout_s, bool tries);  // tries: what has changed is started on trial before

struct InjectOptions {
  std::vector<std::string> files;
  std::string incoming;  // a watched directory; empty: incoming
  std::string step;      // plugin/step; empty: by a watched directory
  std::vector<std::string> tags;
  bool move = false;
  bool random_basename = false;
  bool wait = false;
  double timeout_s = 600;  // of the wait; 0: for ever
};
int inject(const std::string& home, const InjectOptions& options);

int print_tags(const std::vector<std::string>& files, bool as_json);
int get_tag(const std::string& file, const std::string& name);
// These change the companion beside the file too. `suffix`: that it has; empty: the one that stands there.
int set_tag(const std::string& file, const std::string& assignment, const std::string& suffix);
int unset_tag(const std::string& file, const std::string& name, const std::string& suffix);
int copy_tags(const std::string& from, const std::string& to, const std::string& suffix);

// Which files in trash: all conditions that are given together.
struct TrashOptions {
  std::vector<std::string> uids;
  std::string step;    // plugin/step
  std::string reason;  // "failed", "crashed" ...
  std::optional<double> older_s;  // since they came into trash
  std::string name;    // a shell pattern of the original name
  bool all = false;
};
int list_trash(const std::string& home, const TrashOptions& options, bool as_json);
int show_trash(const std::string& home, const std::string& uid);
int retry_trash(const std::string& home, const TrashOptions& options);
int purge_trash(const std::string& home, const TrashOptions& options);

// Which files that wait before a step: all conditions that are given together.
struct QueueOptions {
  std::string step;                // plugin/step; empty (list only): all of them
  std::vector<std::string> names;  // as they stand there, or uids
  std::optional<double> older_s;   // since they came there
  std::string target;              // plugin/step, of move
  std::size_t limit = 1000;        // of list; 0: none
  bool all = false;
};
int list_queue(const std::string& home, const QueueOptions& options, bool as_json);
int show_queue(const std::string& home, const QueueOptions& options);
int drop_queue(const std::string& home, const QueueOptions& options);
int move_queue(const std::string& home, const QueueOptions& options);

// Asks the loader: the step's files wait until it is resumed, over restarts too.
int pause_step(const std::string& home, const std::string& step);
int resume_step(const std::string& home, const std::string& step);
// Ends what its workers treat now; `charge`: as crashes.
int kill_step(const std::string& home, const std::string& step, bool all, bool charge);

struct ExplainOptions {
  std::string file;
  std::vector<std::string> tags;  // NAME=VALUE, beside those of the file
  bool matching_only = false;
};
// Each rule of each switch: the value it saw, match or not, where it is written; and the targets of the file.
int explain(const std::string& home, const ExplainOptions& options, bool as_json);

struct GenerateOptions {
  std::string directory;
  std::uint64_t count = 1;
  std::uint64_t size = 4096;
  double rate = 0;  // files a second; 0: as fast as it goes
};
int generate(const GenerateOptions& options);

}  // namespace mfdata::tools
