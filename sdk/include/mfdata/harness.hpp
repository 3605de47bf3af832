// mfdata/harness.hpp - the test harness of mfdata/harness.h for tests in C++17 and later: the same functions, with strings, vectors
// and exceptions. Header-only; link with libmfdata-harness.
//
//   mfdata::harness::Harness harness({.entry = mfdata_plugin_v1, .config = "[custom]\ndest_dir = \"archive/main\"\n"});
//   auto result = harness.run({"one\ntwo\n"});
//   assert(result.outcome == "ok" && result.outputs[0].tags["latest.lines.main.lines"] == "2");
//
// Everything is a value of its own: it outlives the harness, but for the files at `path`. Error is thrown where harness.h returns an error
// or NULL; that the plugin failed is a result.
#ifndef MFDATA_HARNESS_HPP
#define MFDATA_HARNESS_HPP
#include <mfdata/harness.h>

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mfdata {
namespace harness {

using Tags = std::map<std::string, std::string>;

class Error : public std::runtime_error {
 public:
  Error(mfdata_rc code, const std::string& text) : std::runtime_error(text), code_(code) {}
  mfdata_rc code() const { return code_; }  // MFDATA_E_*; 0 of a call that returned no result

 private:
  mfdata_rc code_;
};

// mfdata_harness_options.
struct Options {
  std::string plugin;
  const mfdata_plugin* (*entry)(void) = nullptr;
  std::string manifest;
  std::string config;
  std::vector<std::string> targets;
  bool in_memory = false;
  bool keep = false;
};

// mfdata_harness_file. With a path the content is that of the file there.
struct File {
  std::string content;
  std::string name;
  Tags tags = {};
  std::string path = {};

  File(std::string bytes, std::string original_name = "", Tags with = {})
      : content(std::move(bytes)), name(std::move(original_name)), tags(std::move(with)) {}
  File(const char* bytes, std::string original_name = "", Tags with = {}) : File(std::string(bytes), std::move(original_name), std::move(with)) {}
  static File at(std::string path, Tags with = {}) {
    File file("", "", std::move(with));
    file.path = std::move(path);
    return file;
  }
};

struct Output {
  std::uint32_t input = 0;
  std::string to, name, path, content;
  std::uint64_t size = 0;
  Tags tags;
};

struct End {
  mfdata_rc code = MFDATA_OK;
  std::string outcome, reason, fate;
  std::int64_t retry_ms = 0;
};

struct Log {
  int level = 0;
  std::string text;
};

struct Metric {
  int kind = 0;
  std::string name;
  Tags labels;
  std::uint32_t changes = 0;
  double value = 0;
};

struct Result {
  std::string outcome, reason;
  bool late = false;
  std::vector<End> ends;
  std::vector<Output> outputs;
  std::vector<Log> logs;
  std::vector<Metric> metrics;
  std::uint64_t calls = 0, failed_calls = 0;
  std::int64_t duration_ns = 0;

  // Whether a line of the log has the text in it.
  bool logged(const std::string& text) const {
    for (const Log& line : logs) {
      if (line.text.find(text) != std::string::npos) return true;
    }
    return false;
  }
  // The value of a metric, of all its series together; 0: it was not touched.
  double metric(const std::string& name) const {
    double sum = 0;
    for (const Metric& one : metrics) {
      if (one.name == name) sum += one.value;
    }
    return sum;
  }
};

namespace detail {

inline std::string text(mfdata_str from) { return from.p ? std::string(from.p, from.n) : std::string(); }

inline Tags tags(const mfdata_harness_pair* pairs, std::uint32_t n) {
  Tags all;
  for (std::uint32_t i = 0; i < n; ++i) all[text(pairs[i].name)] = text(pairs[i].value);
  return all;
}

// A list of C strings that ends with NULL.
class List {
 public:
  explicit List(std::vector<std::string> words) : words_(std::move(words)) {
    for (const std::string& word : words_) pointers_.push_back(word.c_str());
    pointers_.push_back(nullptr);
  }
  const char* const* get() const { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<const char*> pointers_;
};

inline List assignments(const Tags& tags) {
  std::vector<std::string> words;
  for (const auto& tag : tags) words.push_back(tag.first + '=' + tag.second);
  return List(std::move(words));
}

inline const char* or_null(const std::string& given) { return given.empty() ? nullptr : given.c_str(); }

inline Result copy(const mfdata_harness_result& from) {
  Result result;
  result.outcome = text(from.outcome);
  result.reason = text(from.reason);
  result.late = (from.flags & MFDATA_HARNESS_LATE) != 0;
  for (std::uint32_t i = 0; i < from.n_ends; ++i) {
    const mfdata_harness_end& end = *from.ends[i];
    result.ends.push_back({end.code, text(end.outcome), text(end.reason), text(end.fate), end.retry_ms});
  }
  for (std::uint32_t i = 0; i < from.n_outputs; ++i) {
    const mfdata_harness_output& output = *from.outputs[i];
    result.outputs.push_back(
        {output.input, text(output.to), text(output.name), text(output.path), text(output.content), output.size, tags(output.tags, output.n_tags)});
  }
  for (std::uint32_t i = 0; i < from.n_logs; ++i) result.logs.push_back({from.logs[i]->level, text(from.logs[i]->text)});
  for (std::uint32_t i = 0; i < from.n_metrics; ++i) {
    const mfdata_harness_metric& metric = *from.metrics[i];
    result.metrics.push_back({metric.kind, text(metric.name), tags(metric.labels, metric.n_labels), metric.changes, metric.value});
  }
  result.calls = from.calls;
  result.failed_calls = from.failed_calls;
  result.duration_ns = from.duration_ns;
  return result;
}

}  // namespace detail

// Move-only; closed with the object. Used by one thread at a time, but for `cancel`.
class Harness {
 public:
  explicit Harness(const Options& options) {
    const detail::List targets(options.targets);
    mfdata_harness_options raw{};
    raw.struct_size = sizeof raw;
    raw.flags = (options.in_memory ? MFDATA_HARNESS_MEMORY : 0u) | (options.keep ? MFDATA_HARNESS_KEEP : 0u);
    raw.plugin = detail::or_null(options.plugin);
    raw.entry = options.entry;
    raw.manifest = detail::or_null(options.manifest);
    raw.config = detail::or_null(options.config);
    raw.targets = targets.get();
    mfdata_harness* opened = nullptr;
    const mfdata_rc rc = mfdata_harness_open(&raw, &opened);
    it_.reset(opened);
    check(rc);
  }

  std::string home() const { return mfdata_harness_home(it_.get()); }
  mfdata_harness* get() const { return it_.get(); }

  // Of a step by its name; empty: the only one.
  Result run(const File& file, const std::string& step = "") { return run_all({file}, step); }
  Result run_all(const std::vector<File>& files, const std::string& step = "") {
    const Raw raw(files);
    return shown(mfdata_harness_run(it_.get(), detail::or_null(step), raw.files.data(), static_cast<std::uint32_t>(raw.files.size())));
  }
  Result rerun(const std::string& step = "") { return shown(mfdata_harness_rerun(it_.get(), detail::or_null(step))); }
  Result tick(const std::string& step = "") { return shown(mfdata_harness_tick(it_.get(), detail::or_null(step))); }
  Result restart() { return shown(mfdata_harness_restart(it_.get())); }

  Result ask(const std::string& predicate, const File& file) {
    const std::vector<File> files{file};
    const Raw raw(files);
    return shown(mfdata_harness_ask(it_.get(), predicate.c_str(), raw.files.data()));
  }

  void start(const std::string& listener = "") { check(mfdata_harness_start(it_.get(), detail::or_null(listener))); }
  void wait(std::uint32_t deposits, std::uint32_t timeout_ms) { check(mfdata_harness_wait(it_.get(), deposits, timeout_ms)); }
  Result stop() { return shown(mfdata_harness_stop(it_.get())); }

  void fail(const std::string& call, std::uint32_t number = 0, mfdata_rc code = MFDATA_E_IO) {
    check(mfdata_harness_fail(it_.get(), detail::or_null(call), number, code));
  }
  void fill_disk() { check(mfdata_harness_fill_disk(it_.get())); }
  void pressure(mfdata_rc state, std::uint32_t retry_after_ms = 1000) { check(mfdata_harness_pressure(it_.get(), state, retry_after_ms)); }
  void deadline(std::int64_t timeout_ms) { check(mfdata_harness_deadline(it_.get(), timeout_ms)); }
  void heal() { check(mfdata_harness_heal(it_.get())); }
  void cancel() { mfdata_harness_cancel(it_.get()); }

  // For each call to the host that a fresh instance makes, in its constructor and with this file: `look(result)` of a run in which that one
  // fails. Returns how many there were. Whatever else was made to fail is healed.
  template <class Look>
  std::uint32_t each_failing_call(const File& file, const std::string& step, const Look& look) {
    for (std::uint32_t number = 1;; ++number) {
      restart();
      heal();
      fail("", number);
      const Result result = run(file, step);
      heal();
      if (result.failed_calls == 0) return number - 1;
      look(result);
    }
  }

 private:
  // Files in the form of C; the content stays in `from`, which outlives it.
  struct Raw {
    explicit Raw(const std::vector<File>& from) {
      for (const File& file : from) {
        tags.push_back(detail::assignments(file.tags));
        mfdata_harness_file raw{};
        raw.struct_size = sizeof raw;
        raw.path = detail::or_null(file.path);
        raw.content = {file.content.data(), file.content.size()};
        raw.name = detail::or_null(file.name);
        raw.tags = tags.back().get();
        files.push_back(raw);
      }
    }
    std::vector<detail::List> tags;
    std::vector<mfdata_harness_file> files;
  };
  struct Close {
    void operator()(mfdata_harness* harness) const { mfdata_harness_close(harness); }
  };

  void check(mfdata_rc rc) const {
    if (rc != MFDATA_OK) throw Error(rc, mfdata_harness_error(it_.get()));
  }
  Result shown(const mfdata_harness_result* result) const {
    if (!result) throw Error(MFDATA_OK, mfdata_harness_error(it_.get()));
    return detail::copy(*result);
  }

  std::unique_ptr<mfdata_harness, Close> it_;
};

}  // namespace harness
}  // namespace mfdata
#endif
