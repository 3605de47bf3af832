// The one way in which libmfdata reports an expected failure.
//
// A function that can fail returns Result<T>: either the value, or an Error with a code (what kind of failure,
// for the caller to decide on), an errno (0 when there is none) and a text that says what was being done, to
// which path, and why it failed. Nothing here throws. Broken invariants of our own abort (see `check`).
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace mfdata {

enum class Code {
  kGone,         // the file or directory is not there (any more): somebody else has it
  kExists,       // the name is taken
  kBusy,         // not ready: somebody has it open for writing
  kRefused,      // by a rule of ours: not a regular file, more than one link, too large
  kForeign,      // we may not tag it (owner, mode), or it stands on another filesystem
  kDestination,  // a directory outside of the spool is missing, or refuses what any file needs: the files wait
  kNoSpace,      // disk, inodes or quota are used up
  kAttribute,    // the attribute cannot hold this context: a sidecar must
  kBadData,      // foreign bytes that do not parse: a context, a message, a name
  kBadConfig,    // the operator or a plugin's author has to mend something
  kLimit,        // a bound of ours was passed
  kNotFound,     // no such plugin, step, tag, key
  kUnsupported,  // not offered by this host, kernel or filesystem
  kIo,           // everything else the kernel says
};

struct Error {
  Code code = Code::kIo;
  int errnum = 0;
  std::string text;
};

// An Error from errno: "DOING PATH: reason". The code is derived from the number.
Error system_error(int errnum, const std::string& doing);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const Error& error() const { return std::get<1>(state_); }
  bool is(Code code) const { return !*this && error().code == code; }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}

  explicit operator bool() const { return ok_; }
  const Error& error() const { return error_; }
  bool is(Code code) const { return !ok_ && error_.code == code; }

 private:
  Error error_;
  bool ok_ = true;
};

// Aborts with the message when an invariant of our own does not hold.
void check(bool holds, const char* what);

}  // namespace mfdata

// Returns the error of a Result expression to the caller; its value, if any, is dropped.
#define MFDATA_TRY(...)                                     \
  do {                                                      \
    if (auto mfdata_try_ = (__VA_ARGS__); !mfdata_try_) return mfdata_try_.error(); \
  } while (0)
