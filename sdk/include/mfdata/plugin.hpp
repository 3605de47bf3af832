// mfdata/plugin.hpp - C++20 over the C interface of mfdata/plugin.h. Header-only; nothing to link.
//
// Derive from Step, BatchStep, Transform, Listener or Predicate, and name the classes in MFDATA_PLUGIN:
//
//   struct Upper : mfdata::sdk::Transform {
//     explicit Upper(mfdata::sdk::Context& c) : Transform(c) {}
//     mfdata::sdk::Result transform(mfdata::sdk::File& in) override { ... }
//   };
//   MFDATA_PLUGIN("upper", "1.0.0", "upper case", "MIT", mfdata::sdk::step<Upper>("main", "turns text to capitals"))
//
// Every callback is guarded: an exception never leaves the plugin, it becomes MFDATA_FAIL with its text; one that says that
// the system refuses (Error with E_IO, E_NOMEM, E_BUSY; bad_alloc) MFDATA_RETRY, with E_FULL that the disk is full. Objects
// given to a callback (File, Context) are valid during that callback; a Context given to a constructor as long as
// the component lives. Functions throw mfdata::sdk::Error when the host refuses.
#pragma once

#include <mfdata/plugin.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mfdata::sdk {

// Thrown when a host function fails; `code` is its MFDATA_E_*.
class Error : public std::runtime_error {
 public:
  Error(mfdata_rc rc, const std::string& what) : std::runtime_error(what), code(rc) {}
  mfdata_rc code;
};

inline mfdata_str c(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(mfdata_str text) { return {text.p, text.n}; }

inline void expect(mfdata_rc rc, const char* doing, std::string_view what) {
  if (rc >= 0) return;
  static constexpr const char* kNames[] = {"",          "bad argument",   "not found", "not supported by this host",
                                           "I/O error", "out of memory",  "not now",   "a limit was passed",
                                           "exception", "ABI mismatch",   "busy",      "disk full",
                                           "not the expected size or digest"};
  const char* why = rc >= -12 ? kNames[-rc] : "error";
  throw Error(rc, std::string(doing) + " \"" + std::string(what) + "\": " + why);
}

// The end of a treatment.
struct Result {
  mfdata_rc code = MFDATA_OK;
  std::string reason;
  std::optional<std::int64_t> delay_ms;  // of a retry

  static Result ok() { return {}; }
  static Result fail(std::string reason) { return {MFDATA_FAIL, std::move(reason), {}}; }
  static Result retry(std::string reason, std::optional<std::int64_t> delay_ms = {}) {
    return {MFDATA_RETRY, std::move(reason), delay_ms};
  }
  static Result skip(std::string reason) { return {MFDATA_SKIP, std::move(reason), {}}; }
  // The plugin's own write met a full disk: the file waits for room, whatever its failure policy is.
  static Result disk_full(std::string reason) { return {MFDATA_E_FULL, std::move(reason), {}}; }
  static Result cancelled() { return {MFDATA_CANCELLED, "", {}}; }
  // Not now: the file goes back uncharged, and the step gets none for a while (one second when nothing else is said).
  static Result yield(std::string reason, std::optional<std::int64_t> delay_ms = {}) {
    return {MFDATA_YIELD, std::move(reason), delay_ms};
  }
};

class File;

// How a file goes to an absolute directory.
struct Delivery {
  std::string basename;     // empty: the original one
  std::string tags_suffix;  // empty: no companion
  std::uint32_t mode = 0;
  bool drop_tags = false;
  bool make_directories = false;  // the sub-directories that basename names; the directory itself only inside the home
  std::uint32_t directory_mode = 0;  // of those; 0: that of the directory they are made in
};

// As what a component runs.
struct Identity {
  std::string plugin;      // as installed
  std::string step;        // or listener; empty: a predicate
  std::string plugin_dir;  // absolute; read-only
};

enum class Health : std::int32_t { kOk = MFDATA_HEALTH_OK, kDegraded = MFDATA_HEALTH_DEGRADED, kFailed = MFDATA_HEALTH_FAILED };

// Whether files are welcome.
struct Pressure {
  mfdata_rc state = MFDATA_OK;  // MFDATA_E_BUSY, MFDATA_E_FULL
  std::chrono::milliseconds retry_after{0};
  explicit operator bool() const { return state != MFDATA_OK; }  // there is some
};

// When the host kills the process for the file in hand.
class Deadline {
 public:
  explicit Deadline(std::int64_t monotonic_ns) : ns_(monotonic_ns) {}
  explicit operator bool() const { return ns_ != 0; }  // there is one
  // Not below zero; without a deadline the longest time there is.
  std::chrono::nanoseconds left() const {
    if (ns_ == 0) return std::chrono::nanoseconds::max();
    const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch());
    return std::max(std::chrono::nanoseconds(ns_) - now, std::chrono::nanoseconds(0));
  }

 private:
  std::int64_t ns_;
};

// The host, as one component or call sees it.
class Context {
 public:
  // `identity` lives as long as the component.
  Context(const mfdata_host* host, mfdata_ctx* ctx, const Identity* identity) : host_(host), ctx_(ctx), identity_(identity) {}

  const mfdata_host* host() const { return host_; }
  mfdata_ctx* raw() const { return ctx_; }
  const Identity& identity() const { return *identity_; }

  void debug(std::string_view text) const { host_->log(ctx_, MFDATA_LOG_DEBUG, c(text)); }
  void info(std::string_view text) const { host_->log(ctx_, MFDATA_LOG_INFO, c(text)); }
  void warning(std::string_view text) const { host_->log(ctx_, MFDATA_LOG_WARNING, c(text)); }
  void error(std::string_view text) const { host_->log(ctx_, MFDATA_LOG_ERROR, c(text)); }
  bool cancelled() const { return host_->cancelled(ctx_) != 0; }
  Deadline deadline() const { return Deadline(host_->deadline_ns(ctx_)); }
  Pressure pressure() const {
    std::int64_t wait_ms = 0;
    const mfdata_rc state = host_->pressure(ctx_, &wait_ms);
    return {state, std::chrono::milliseconds(wait_ms)};
  }
  // How the component fares: to status, metrics and /readyz.
  void report_health(Health health, std::string_view text = "") const {
    expect(host_->report_health(ctx_, static_cast<std::int32_t>(health), c(text)), "health", text);
  }
  // What the component has to remember over restarts goes there.
  std::string state_dir() const {
    mfdata_str path{nullptr, 0};
    expect(host_->state_dir(ctx_, &path), "state", "directory");
    return std::string(view(path));
  }

  // Keys of [custom]. Without a fallback a missing key throws.
  std::string text(std::string_view key) const { return optional_text(key, true).value_or(""); }
  std::string text(std::string_view key, std::string fallback) const {
    auto value = optional_text(key, false);
    return value ? *value : std::move(fallback);
  }
  std::int64_t integer(std::string_view key, std::int64_t fallback) const {
    std::int64_t value = fallback;
    const mfdata_rc rc = host_->config_integer(ctx_, c(key), &value);
    if (rc == MFDATA_E_NOTFOUND) return fallback;
    expect(rc, "configuration key", key);
    return value;
  }
  double real(std::string_view key, double fallback) const {
    double value = fallback;
    const mfdata_rc rc = host_->config_real(ctx_, c(key), &value);
    if (rc == MFDATA_E_NOTFOUND) return fallback;
    expect(rc, "configuration key", key);
    return value;
  }
  bool flag(std::string_view key, bool fallback) const {
    const std::string value = text(key, fallback ? "true" : "false");
    if (value == "true" || value == "1") return true;
    if (value == "false" || value == "0") return false;
    throw Error(MFDATA_E_ARG, "configuration key \"" + std::string(key) + "\" is true or false, not \"" + value + '"');
  }
  std::vector<std::string> texts(std::string_view key) const {
    std::vector<std::string> all;
    std::uint64_t count = 0;
    if (host_->config_count(ctx_, c(key), &count) < 0) return all;
    for (std::uint64_t i = 0; i < count; ++i) all.push_back(text(std::string(key) + '[' + std::to_string(i) + ']'));
    return all;
  }

  // The names of the keys of a table of [custom]; empty: [custom] itself. None: there is no such table.
  std::vector<std::string> keys(std::string_view table = "") const {
    std::vector<std::string> all;
    std::uint64_t count = 0;
    mfdata_rc rc = host_->config_count(ctx_, c(table), &count);
    if (rc == MFDATA_E_NOTFOUND) return all;
    mfdata_str name{nullptr, 0};
    for (std::uint64_t i = 0; i < count && rc >= 0; ++i) {
      rc = host_->config_key(ctx_, c(table), i, &name);
      if (rc >= 0) all.emplace_back(view(name));
    }
    expect(rc, "keys of", table);
    return all;
  }

  // A new empty file of this call, with the tags of `inherit`. Without one it begins anew (first.core.*), of the whole batch: it
  // comes about when any of its files succeeds, the other one when that file does.
  File tmp_file(const File& inherit) const;
  File tmp_file() const;
  std::string scratch_dir() const {
    mfdata_str path{nullptr, 0};
    expect(host_->scratch_dir(ctx_, &path), "scratch", "directory");
    return std::string(view(path));
  }
  // A file that stands in the scratch directory becomes one of this call; `inherit` as for tmp_file.
  File adopt(std::string_view path, const File& inherit) const;
  File adopt(std::string_view path) const;

 private:
  File made_file(mfdata_file* inherit) const;
  File adopted(std::string_view path, mfdata_file* inherit) const;
  std::optional<std::string> optional_text(std::string_view key, bool required) const {
    mfdata_str value{nullptr, 0};
    const mfdata_rc rc = host_->config_text(ctx_, c(key), &value);
    if (rc == MFDATA_E_NOTFOUND && !required) return std::nullopt;
    expect(rc, "configuration key", key);
    return std::string(view(value));
  }

  const mfdata_host* host_;
  mfdata_ctx* ctx_;
  const Identity* identity_;
};

// A file in the hands of a step.
class File {
 public:
  File(const Context& context, mfdata_file* file) : context_(context), file_(file) {}

  mfdata_file* raw() const { return file_; }
  const Context& context() const { return context_; }
  std::string path() const {
    mfdata_str path{nullptr, 0};
    expect(host()->file_path(ctx(), file_, &path), "path of", "file");
    return std::string(view(path));
  }

  std::optional<std::string> tag(std::string_view name) const {
    mfdata_str value{nullptr, 0};
    const mfdata_rc rc = host()->tag_get(ctx(), file_, c(name), &value);
    return found(rc, name, value);
  }
  // "latest.<plugin>.<step>.<name>"; without plugin and step, this one's.
  std::optional<std::string> latest(std::string_view name, std::string_view plugin = "", std::string_view step = "") const {
    mfdata_str value{nullptr, 0};
    const mfdata_rc rc = host()->tag_get_latest(ctx(), file_, c(plugin), c(step), c(name), &value);
    return found(rc, name, value);
  }
  void set_tag(std::string_view name, std::string_view value) const {
    expect(host()->tag_set(ctx(), file_, c(name), c(value)), "tag", name);
  }
  // A tag of this hop: "<n>.<plugin>.<step>.<name>" and "latest.<plugin>.<step>.<name>".
  void set_hop_tag(std::string_view name, std::string_view value, bool with_latest = true) const {
    expect(host()->tag_set_hop(ctx(), file_, c(name), c(value), with_latest ? 0 : MFDATA_TAG_NO_LATEST), "tag", name);
  }
  // visit(name, value) for each tag, in the order of their names.
  template <class Visit>
  void each_tag(Visit visit) const {
    std::exception_ptr thrown;
    std::pair<Visit*, std::exception_ptr*> state{&visit, &thrown};
    const auto call = [](void* user, mfdata_str name, mfdata_str value) -> mfdata_rc {
      auto& [function, exception] = *static_cast<std::pair<Visit*, std::exception_ptr*>*>(user);
      try {
        (*function)(view(name), view(value));
        return MFDATA_OK;
      } catch (...) {  // not through the host
        *exception = std::current_exception();
        return MFDATA_FAIL;
      }
    };
    expect(host()->tag_each(ctx(), file_, call, &state), "tags of", "file");
    if (thrown) std::rethrow_exception(thrown);
  }
  bool delete_tag(std::string_view name) const { return host()->tag_delete(ctx(), file_, c(name)) == MFDATA_OK; }
  // Of a new file.
  void set_name(std::string_view name) const { expect(host()->file_set_name(ctx(), file_, c(name)), "name", name); }
  std::string original_basename() const { return tag("first.core.original_basename").value_or(""); }

  void move_to(std::string_view target) const { emit(MFDATA_OP_MOVE, target); }
  void copy_to(std::string_view target) const { emit(MFDATA_OP_COPY, target); }
  void link_to(std::string_view target) const { emit(MFDATA_OP_LINK, target); }
  void deliver_to(std::string_view directory, const Delivery& how = {}, std::int32_t op = MFDATA_OP_MOVE) const {
    mfdata_delivery delivery{};
    delivery.struct_size = sizeof delivery;
    delivery.flags = (how.drop_tags ? MFDATA_DELIVERY_DROP_TAGS : 0) | (how.make_directories ? MFDATA_DELIVERY_MKDIRS : 0);
    delivery.mode = how.mode;
    delivery.directory_mode = how.directory_mode;
    delivery.basename = c(how.basename);
    delivery.tags_suffix = c(how.tags_suffix);
    expect(host()->deliver(ctx(), file_, op, c(directory), &delivery), "delivery to", directory);
  }

 private:
  const mfdata_host* host() const { return context_.host(); }
  mfdata_ctx* ctx() const { return context_.raw(); }
  void emit(std::int32_t op, std::string_view target) const {
    expect(host()->emit(ctx(), file_, op, c(target)), "target", target);
  }
  static std::optional<std::string> found(mfdata_rc rc, std::string_view name, mfdata_str value) {
    if (rc == MFDATA_E_NOTFOUND) return std::nullopt;
    expect(rc, "tag", name);
    return std::string(view(value));
  }

  Context context_;
  mfdata_file* file_;
};

inline File Context::made_file(mfdata_file* inherit) const {
  mfdata_file* file = nullptr;
  expect(host_->tmp_file(ctx_, inherit, &file), "temporary", "file");
  return File(*this, file);
}
inline File Context::tmp_file(const File& inherit) const { return made_file(inherit.raw()); }
inline File Context::tmp_file() const { return made_file(nullptr); }

inline File Context::adopted(std::string_view path, mfdata_file* inherit) const {
  mfdata_file* file = nullptr;
  expect(host_->adopt(ctx_, c(path), inherit, &file), "adopt", path);
  return File(*this, file);
}
inline File Context::adopt(std::string_view path, const File& inherit) const { return adopted(path, inherit.raw()); }
inline File Context::adopt(std::string_view path) const { return adopted(path, nullptr); }

// A metric of the plugin, exported as mfdata_plugin_<plugin>_<name>. Made in a constructor, used on any thread.
class Metric {
 public:
  using Labels = std::initializer_list<std::string_view>;

  static Metric counter(const Context& context, std::string_view name, std::string_view help, Labels label_keys = {}) {
    return {context, MFDATA_COUNTER, name, help, label_keys, {}};
  }
  static Metric gauge(const Context& context, std::string_view name, std::string_view help, Labels label_keys = {}) {
    return {context, MFDATA_GAUGE, name, help, label_keys, {}};
  }
  // `buckets`: rising upper bounds.
  static Metric histogram(const Context& context, std::string_view name, std::string_view help, const std::vector<double>& buckets,
                          Labels label_keys = {}) {
    return {context, MFDATA_HISTOGRAM, name, help, label_keys, buckets};
  }
  // Adds to a counter, sets a gauge, observes in a histogram. What the host has no room for is not counted.
  void add(double value, Labels label_values = {}) const {
    const std::vector<mfdata_str> values = strings(label_values);
    context_.host()->metric_add(context_.raw(), id_, value, values.data(), static_cast<std::uint32_t>(values.size()));
  }

 private:
  Metric(const Context& context, std::int32_t kind, std::string_view name, std::string_view help, Labels keys, const std::vector<double>& buckets)
      : context_(context) {
    const std::vector<mfdata_str> all = strings(keys);
    expect(context.host()->metric_new(context.raw(), kind, c(name), c(help), all.data(), static_cast<std::uint32_t>(all.size()), buckets.data(),
                                      static_cast<std::uint32_t>(buckets.size()), &id_),
           "metric", name);
  }
  static std::vector<mfdata_str> strings(Labels texts) {
    std::vector<mfdata_str> all;
    for (const std::string_view text : texts) all.push_back(c(text));
    return all;
  }

  Context context_;
  std::uint64_t id_ = 0;
};

// ---- component classes

class Step {
 public:
  explicit Step(const Context& context) : context_(context) {}
  virtual ~Step() = default;
  virtual Result process(File& file) = 0;
  virtual void tick() {}
  virtual void drain() {}
  virtual void interrupt() noexcept {}  // on another thread: only sets a flag

 protected:
  const Context& component() const { return context_; }

 private:
  Context context_;
};

class BatchStep {
 public:
  explicit BatchStep(const Context& context) : context_(context) {}
  virtual ~BatchStep() = default;
  // One result for all, or one for each file.
  virtual std::vector<Result> process(std::vector<File>& files) = 0;
  virtual void tick() {}
  virtual void drain() {}
  virtual void interrupt() noexcept {}  // on another thread: only sets a flag

 protected:
  const Context& component() const { return context_; }

 private:
  Context context_;
};

// One file into none, one or many new ones, for the steps of the key "dest_dir" (default: none given, then required).
class Transform : public Step {
 public:
  explicit Transform(const Context& context) : Step(context), dest_dir_(context.text("dest_dir")) {}
  Result process(File& file) final {
    outputs_.clear();
    Result result = transform(file);
    if (result.code != MFDATA_OK) return result;
    for (const File& output : outputs_) output.move_to(dest_dir_);
    return result;
  }
  // Writes to what `output` returns; each becomes a file for dest_dir when the result is OK.
  virtual Result transform(File& file) = 0;

 protected:
  File& output(const File& inherit) { return outputs_.emplace_back(inherit.context().tmp_file(inherit)); }

 private:
  std::string dest_dir_;
  std::vector<File> outputs_;
};

// A new file that a listener writes, from any of its threads. It is aborted with the object unless it was committed.
class Deposit {
 public:
  struct Options {
    std::string dirname = {};                          // first.core.original_dirname; empty: as the host has it
    std::optional<std::uint64_t> expected_size = {};
    std::string digest_algorithm = {}, digest = {};    // "sha-256" and its bytes; empty: none
    std::string idempotency_key = {};                  // deposits with the same key are one file; empty: none
  };

  // `target`: "plugin/step", a watched directory, or empty: [data] entry_step. Throws Error with E_BUSY or E_FULL when nothing is
  // accepted now: Context::pressure says for how long.
  Deposit(const Context& context, std::string_view target, std::string_view name) : Deposit(context, target, name, Options()) {}
  Deposit(const Context& context, std::string_view target, std::string_view name, const Options& options) : context_(context) {
    mfdata_deposit_options how{};
    how.struct_size = sizeof how;
    how.flags = options.expected_size ? MFDATA_DEPOSIT_SIZED : 0;
    how.dirname = c(options.dirname);
    how.expected_size = options.expected_size.value_or(0);
    how.digest_algorithm = c(options.digest_algorithm);
    how.digest = c(options.digest);
    how.idempotency_key = c(options.idempotency_key);
    const mfdata_rc rc = context.host()->deposit_open(context.raw(), c(target), c(name), &how, &deposit_);
    expect(rc, "deposit", name);
    repeated_ = rc == MFDATA_REPEATED;
  }
  Deposit(Deposit&& other) noexcept : context_(other.context_), deposit_(std::exchange(other.deposit_, nullptr)), repeated_(other.repeated_) {}
  Deposit& operator=(Deposit&&) = delete;
  ~Deposit() {
    if (deposit_) context_.host()->deposit_abort(context_.raw(), deposit_);
  }

  // A file with this key came before: what is written is forgotten, and the commit confirms that one.
  bool repeated() const { return repeated_; }
  std::string uid() const {
    mfdata_str uid{nullptr, 0};
    expect(context_.host()->deposit_uid(context_.raw(), deposit_, &uid), "uid of", "deposit");
    return std::string(view(uid));
  }
  void write(std::string_view bytes) {
    expect(context_.host()->deposit_write(context_.raw(), deposit_, bytes.data(), bytes.size()), "write to", "deposit");
  }
  void set_tag(std::string_view name, std::string_view value) {
    expect(context_.host()->deposit_tag(context_.raw(), deposit_, c(name), c(value)), "tag", name);
  }
  // "0.<plugin>.<listener>.<name>" and "latest.<plugin>.<listener>.<name>".
  void set_hop_tag(std::string_view name, std::string_view value, bool with_latest = true) {
    expect(context_.host()->deposit_tag_hop(context_.raw(), deposit_, c(name), c(value), with_latest ? 0 : MFDATA_TAG_NO_LATEST), "tag", name);
  }
  // Returns when the file is durable: then, and only then, it may be acknowledged.
  void commit() { expect(context_.host()->deposit_commit(context_.raw(), std::exchange(deposit_, nullptr), nullptr, nullptr), "commit of", "deposit"); }
  // Returns at once: `done` is called once with the result, on a thread of the host. When this throws it is never called.
  void commit(std::function<void(mfdata_rc)> done) {
    auto kept = std::make_unique<std::function<void(mfdata_rc)>>(std::move(done));
    const auto call = [](void* user, mfdata_rc rc) {
      const std::unique_ptr<std::function<void(mfdata_rc)>> function(static_cast<std::function<void(mfdata_rc)>*>(user));
      try {
        (*function)(rc);
      } catch (...) {  // not through the host
      }
    };
    expect(context_.host()->deposit_commit(context_.raw(), std::exchange(deposit_, nullptr), call, kept.get()), "commit of", "deposit");
    kept.release();
  }

 private:
  Context context_;
  mfdata_deposit* deposit_ = nullptr;
  bool repeated_ = false;
};

class Listener {
 public:
  explicit Listener(const Context& context) : context_(context) {}
  virtual ~Listener() = default;
  virtual Result run() = 0;              // until stop()
  virtual void stop() noexcept = 0;      // on another thread
  // On one more thread. One may be under way when run returns, never when the object is destroyed.
  virtual void tick() {}                 // about once a second
  virtual void pressure_changed(Pressure) {}
  virtual void path_changed(std::string_view) {}  // of watch_path

 protected:
  const Context& component() const { return context_; }
  // A listening socket that the host keeps over restarts and upgrades; in the constructor. The caller closes it.
  int listen_socket(std::string_view address, std::uint32_t mode = 0) const {
    std::int32_t socket = -1;
    expect(context_.host()->listen_socket(context_.raw(), c(address), mode, &socket), "listen on", address);
    return socket;
  }
  void watch_path(std::string_view path) const { expect(context_.host()->watch_path(context_.raw(), c(path)), "watch", path); }
  // The watched directories, absolute.
  std::vector<std::string> watched_directories() const {
    std::vector<std::string> all;
    mfdata_str path{nullptr, 0};
    while (context_.host()->watched_directory(context_.raw(), all.size(), &path) == MFDATA_OK) all.emplace_back(view(path));
    return all;
  }

 private:
  Context context_;
};

// A code rule of switch, made for each rule that names it: its class has a constructor (const Context&, const
// std::vector<std::string>& arguments). It runs in a process of its own and may only read; an exception counts as no.
class Predicate {
 public:
  virtual ~Predicate() = default;
  virtual bool test(const File& file) = 0;
};

// ---- the guard, and the tables

namespace detail {

inline mfdata_rc report(const Context& context, const Result& result) {
  if (result.delay_ms) context.host()->set_retry_delay(context.raw(), *result.delay_ms);
  if (!result.reason.empty()) context.host()->set_error(context.raw(), result.code, c(result.reason));
  return result.code;
}

// What the system refuses now it may grant the next time: as the host understands such a code when a step returns it.
inline mfdata_rc result_of(mfdata_rc error) {
  switch (error) {
    case MFDATA_E_IO:
    case MFDATA_E_NOMEM:
    case MFDATA_E_BUSY: return MFDATA_RETRY;
    case MFDATA_E_FULL: return MFDATA_E_FULL;
    default: return MFDATA_FAIL;
  }
}

// No exception leaves the plugin.
template <class Callback>
mfdata_rc guarded(const Context& context, Callback&& callback) noexcept {
  try {
    return callback();
  } catch (const Error& error) {
    return context.host()->set_error(context.raw(), result_of(error.code), c(error.what()));
  } catch (const std::bad_alloc&) {
    return context.host()->set_error(context.raw(), MFDATA_RETRY, c("no memory"));
  } catch (const std::exception& error) {
    return context.host()->set_error(context.raw(), MFDATA_FAIL, c(error.what()));
  } catch (...) {
    return context.host()->set_error(context.raw(), MFDATA_FAIL, c("an exception of unknown type"));
  }
}

// What `self` points to: the component and the host it was made with.
template <class T>
struct Instance {
  Identity identity;
  Context context;
  T object;
  template <class... Args>
  explicit Instance(const mfdata_init& init, const Args&... args)
      : identity{std::string(view(init.plugin_name)), std::string(view(init.step_name)), std::string(view(init.plugin_dir))},
        context(init.host, init.ctx, &identity),
        object(context, args...) {}
};

template <class T>
struct Table {
  static Instance<T>& of(void* self) { return *static_cast<Instance<T>*>(self); }
  static Context call(void* self, mfdata_ctx* ctx) { return Context(of(self).context.host(), ctx, &of(self).identity); }

  static mfdata_rc create(const mfdata_init* init, void** self) {
    const Context context(init->host, init->ctx, nullptr);  // for the guard alone
    return guarded(context, [&] {
      *self = std::make_unique<Instance<T>>(*init).release();
      return MFDATA_OK;
    });
  }
  static void destroy(void* self, mfdata_ctx* ctx) {
    const Context context(of(self).context.host(), ctx, nullptr);
    guarded(context, [&] {
      delete &of(self);
      return MFDATA_OK;
    });
  }
  static mfdata_rc process(void* self, mfdata_ctx* ctx, mfdata_file* raw) {
    const Context context = call(self, ctx);
    return guarded(context, [&] {
      File file(context, raw);
      return report(context, of(self).object.process(file));
    });
  }
  static mfdata_rc process_batch(void* self, mfdata_ctx* ctx, mfdata_file* const* raw, uint32_t n, mfdata_rc* each) {
    const Context context = call(self, ctx);
    return guarded(context, [&]() -> mfdata_rc {
      std::vector<File> files;
      for (uint32_t i = 0; i < n; ++i) files.emplace_back(context, raw[i]);
      const std::vector<Result> results = of(self).object.process(files);
      if (results.size() != 1 && results.size() != n) {
        throw Error(MFDATA_E_ARG, std::to_string(results.size()) + " results for a batch of " + std::to_string(n));
      }
      for (uint32_t i = 0; i < n; ++i) {
        const Result& result = results[results.size() == 1 ? 0 : i];
        each[i] = result.code;
        if (result.reason.empty() && !result.delay_ms) continue;
        context.host()->set_file_error(context.raw(), raw[i], c(result.reason), result.delay_ms.value_or(-1));
      }
      return MFDATA_OK;
    });
  }
  // Through its base: a class may override them where others cannot call them.
  template <class Base>
  static mfdata_rc tick(void* self, mfdata_ctx* ctx, const mfdata_tick*) {
    return guarded(call(self, ctx), [&] {
      static_cast<Base&>(of(self).object).tick();
      return MFDATA_OK;
    });
  }
  template <class Base>
  static mfdata_rc drain(void* self, mfdata_ctx* ctx) {
    return guarded(call(self, ctx), [&] {
      static_cast<Base&>(of(self).object).drain();
      return MFDATA_OK;
    });
  }
  template <class Base>
  static void interrupt(void* self) {
    static_cast<Base&>(of(self).object).interrupt();
  }
  static mfdata_rc run(void* self, mfdata_ctx* ctx) {
    const Context context = call(self, ctx);
    return guarded(context, [&] { return report(context, static_cast<Listener&>(of(self).object).run()); });
  }
  static void stop(void* self) { static_cast<Listener&>(of(self).object).stop(); }
  static void pressure_changed(void* self, mfdata_ctx* ctx, mfdata_rc state, int64_t retry_after_ms) {
    guarded(call(self, ctx), [&] {
      static_cast<Listener&>(of(self).object).pressure_changed({state, std::chrono::milliseconds(retry_after_ms)});
      return MFDATA_OK;
    });
  }
  static void path_changed(void* self, mfdata_ctx* ctx, mfdata_str path) {
    guarded(call(self, ctx), [&] {
      static_cast<Listener&>(of(self).object).path_changed(view(path));
      return MFDATA_OK;
    });
  }

  static mfdata_rc compile(const mfdata_init* init, const mfdata_str* arguments, uint32_t n, void** self) {
    const Context context(init->host, init->ctx, nullptr);
    return guarded(context, [&] {
      std::vector<std::string> texts;
      for (uint32_t i = 0; i < n; ++i) texts.emplace_back(view(arguments[i]));
      *self = std::make_unique<Instance<T>>(*init, texts).release();
      return MFDATA_OK;
    });
  }
  static int32_t test(void* self, mfdata_ctx* ctx, mfdata_file* raw) {
    const Context context = call(self, ctx);
    int32_t answer = MFDATA_E_EXCEPTION;
    guarded(context, [&] {
      answer = of(self).object.test(File(context, raw)) ? 1 : 0;
      return MFDATA_OK;
    });
    return answer;
  }
};

// An optional function is offered only by a class that overrides it: the host spares the calls, and a thread. One that cannot be
// seen from here is overridden.
#define MFDATA_INHERITS(FUNCTION, ...) (requires { requires std::is_same_v<decltype(&T::FUNCTION), __VA_ARGS__>; })
template <class T, class Base>
constexpr auto tick_of() -> mfdata_rc (*)(void*, mfdata_ctx*, const mfdata_tick*) {
  if constexpr (MFDATA_INHERITS(tick, void (Base::*)())) {
    return nullptr;
  } else {
    return &Table<T>::template tick<Base>;
  }
}
template <class T, class Base>
constexpr auto interrupt_of() -> void (*)(void*) {
  if constexpr (MFDATA_INHERITS(interrupt, void (Base::*)() noexcept)) {
    return nullptr;
  } else {
    return &Table<T>::template interrupt<Base>;
  }
}
template <class T>
constexpr auto pressure_changed_of() -> void (*)(void*, mfdata_ctx*, mfdata_rc, int64_t) {
  if constexpr (MFDATA_INHERITS(pressure_changed, void (Listener::*)(Pressure))) {
    return nullptr;
  } else {
    return &Table<T>::pressure_changed;
  }
}
template <class T>
constexpr auto path_changed_of() -> void (*)(void*, mfdata_ctx*, mfdata_str) {
  if constexpr (MFDATA_INHERITS(path_changed, void (Listener::*)(std::string_view))) {
    return nullptr;
  } else {
    return &Table<T>::path_changed;
  }
}
#undef MFDATA_INHERITS

template <class T>
inline constexpr mfdata_step kStep = {
    sizeof(mfdata_step), 0,  &Table<T>::create, &Table<T>::process, nullptr, tick_of<T, Step>(), &Table<T>::template drain<Step>,
    interrupt_of<T, Step>(), &Table<T>::destroy};
template <class T>
inline constexpr mfdata_step kBatchStep = {
    sizeof(mfdata_step), 0,       &Table<T>::create, nullptr, &Table<T>::process_batch, tick_of<T, BatchStep>(), &Table<T>::template drain<BatchStep>,
    interrupt_of<T, BatchStep>(), &Table<T>::destroy};
template <class T>
inline constexpr mfdata_listener kListener = {
    sizeof(mfdata_listener), 0,        &Table<T>::create, &Table<T>::run, &Table<T>::stop, &Table<T>::destroy,
    tick_of<T, Listener>(),  pressure_changed_of<T>(),    path_changed_of<T>()};
template <class T>
inline constexpr mfdata_predicate kPredicate = {
    sizeof(mfdata_predicate), 0, &Table<T>::compile, &Table<T>::test, &Table<T>::destroy};

}  // namespace detail

template <class T>
constexpr mfdata_component step(const char* id, const char* summary) {
  return {sizeof(mfdata_component), MFDATA_KIND_STEP, id, summary, &detail::kStep<T>};
}
template <class T>
constexpr mfdata_component batch_step(const char* id, const char* summary) {
  return {sizeof(mfdata_component), MFDATA_KIND_STEP, id, summary, &detail::kBatchStep<T>};
}
template <class T>
constexpr mfdata_component listener(const char* id, const char* summary) {
  return {sizeof(mfdata_component), MFDATA_KIND_LISTENER, id, summary, &detail::kListener<T>};
}
template <class T>
constexpr mfdata_component predicate(const char* id, const char* summary) {
  return {sizeof(mfdata_component), MFDATA_KIND_PREDICATE, id, summary, &detail::kPredicate<T>};
}

template <std::size_t N, std::size_t... I>
constexpr std::array<const mfdata_component*, N> pointers_to(const std::array<mfdata_component, N>& all,
                                                             std::index_sequence<I...>) {
  return {&all[I]...};
}

}  // namespace mfdata::sdk

// The one export: id, version, summary, licence (SPDX), then the components.
#define MFDATA_PLUGIN(ID, VERSION, SUMMARY, LICENSE, ...)                                                          \
  extern "C" const mfdata_plugin* mfdata_plugin_v1(void) {                                                         \
    static constexpr std::array kComponents{__VA_ARGS__};                                                          \
    static constexpr auto kPointers =                                                                              \
        mfdata::sdk::pointers_to(kComponents, std::make_index_sequence<kComponents.size()>());                     \
    static constexpr mfdata_plugin kPlugin = {sizeof(mfdata_plugin), MFDATA_ABI_MAJOR, MFDATA_ABI_MINOR,           \
                                              MFDATA_NEED_MINOR,     ID,               VERSION,                    \
                                              SUMMARY,               LICENSE,          "1.0",                      \
                                              kPointers.data(),      kPointers.size(), 0,                          \
                                              nullptr};                                                            \
    return &kPlugin;                                                                                               \
  }
