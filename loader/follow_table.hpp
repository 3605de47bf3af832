// The files that commands wait for (mfdata inject --wait): where each of them is, and how it ended,
// with all that became of it. Pure: no system calls, time is passed in.
//
// A session is one command. It names its files before they can be seen: an arrival by device and
// inode, a file of ours by its uid. Workers trace what they do as long as there is a session. What
// is made of a file carries the uid of its origin, so the trace of a child may come before its
// parent's.
//
// Bounded: kMaxFiles files, of which the command has not read the end yet, kMaxOpen files that came
// of them, and kShownBytes of what is said of one. A session that nobody asks for is forgotten.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wire/worker_protocol.hpp"

namespace mfdata {

class FollowTable {
 public:
  static constexpr std::size_t kMaxFiles = 100'000;
  static constexpr std::size_t kMaxOpen = 1'000'000;
  static constexpr std::size_t kShownBytes = 8'192;
  static constexpr std::int64_t kForgottenAfterNs = 3'600'000'000'000;  // a large copy is no reason

  struct End {
    std::size_t label = 0;  // the command's number of the file
    bool well = false;
    std::string what;
  };
  struct Report {
    std::size_t open = 0;
    std::vector<End> ends;  // from the one that was asked for on
    std::size_t label = 0;  // of one that is open
    std::string last;       // what is known of that one; empty: nothing yet
  };

  bool any() const { return !sessions_.empty(); }
  std::size_t size() const { return files_; }  // with those whose end has not been read
  // Again for one label: replaces what was followed under it. False: too many are followed.
  bool follow_arrival(const std::string& session, std::size_t label, std::uint64_t device,
                      std::uint64_t inode, std::int64_t now);
  bool follow_uid(const std::string& session, std::size_t label, const std::string& uid, std::int64_t now);
  void drop(const std::string& session, std::size_t label);  // it did not come
  void forget(const std::string& session);
  // The ends before `from` have been read, and are forgotten. Nothing: there is no such session (any more).
  std::optional<Report> report(const std::string& session, std::size_t from, std::size_t most, std::int64_t now);
  void expire(std::int64_t now);

  void accepted(const wire::Accepted& accepted);
  void refused(std::uint64_t device, std::uint64_t inode, const std::string& path, const std::string& reason);
  // `step`: "plugin/step", `targets`: of the worker that says so.
  void traced(const std::string& step, const wire::Trace& trace, const std::vector<std::string>& targets);
  void settled(const std::string& step, const wire::SettledFile& file);  // after the death of its worker

 private:
  using FileId = std::pair<std::uint64_t, std::uint64_t>;  // device, inode

  struct File {
    std::optional<FileId> arrival;     // until it is known that it was taken
    std::string origin;                // the uid that it got, or gets when its accept ends well
    std::map<std::string, bool> open;  // uids; true: it is known to be there, false: its end came first
    bool crowded = false;              // not all that came of it is in `open`
    bool well = true;
    std::string good, bad;             // what is said of it
    std::size_t unsaid = 0;
    std::string last;
  };
  struct Session {
    std::int64_t asked_ns = 0;
    std::map<std::size_t, File> files;
    std::deque<End> ends;
    std::size_t first_end = 0;  // the number of the first one in `ends`
  };
  struct Owner {
    std::string session;
    std::size_t label = 0;
  };

  File* file_to_follow(const std::string& session, std::size_t label, std::int64_t now);
  File* file_of(const Owner& owner);
  std::optional<Owner> owner_of(const wire::Trace& trace);
  void bind(const Owner& owner, const std::string& uid);
  void is_taken(File& file);
  void add_output(File& file, const wire::Trace& trace, const wire::TracedOutput& output,
                  const std::vector<std::string>& targets);
  void end_of(File& file, const std::string& uid);
  static void note(File& file, bool well, const std::string& what);
  void finish_if_done(const Owner& owner);
  void finish(const Owner& owner, File& file);
  void remove(const Owner& owner, const File& file);

  std::map<std::string, Session> sessions_;
  std::map<FileId, Owner> arrivals_;
  std::map<std::string, Owner> origins_;  // by uid of the origin
  std::size_t files_ = 0, open_ = 0;      // files_: those whose ends have not been read yet, too
};

}  // namespace mfdata
