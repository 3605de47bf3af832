// Whether somebody has a file open for writing.
//
// A lease (fcntl(2), F_SETLEASE) knows it for certain, but only the file's owner, root, and a process
// with CAP_LEASE may ask for one, and only on a local filesystem. For other files the processes that
// this one may look into (proc(5)) are searched: a writer that is found has the file open; that none
// is found proves nothing, since processes of other users are usually closed to us.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <set>
#include <string>

namespace mfdata {

enum class OpenWriters { kNone, kSome, kUnknown };

// Whoever opens the file at that very moment waits for an instant; SIGIO may come and must be ignored.
OpenWriters ask_by_lease(int file);

// This process may ask for a lease on files of any owner.
bool may_lease_any_file();
// The same of another process, by its number.
bool may_lease_any_file(int pid);

// What the processes that may be looked into have open for writing, or mapped so, among the files
// with some names. It is looked up again when it is older than a second.
class SeenWriters {
 public:
  explicit SeenWriters(std::set<std::string> names) : names_(std::move(names)) {}

  bool writes(const struct stat& file);

 private:
  void look();
  void look_into(const std::string& process);
  void look_at_mappings(const std::string& process);
  void remember(const std::string& link);

  std::set<std::string> names_;
  std::set<std::pair<dev_t, ino_t>> open_;
  std::int64_t looked_ns_ = 0;
};

}  // namespace mfdata
