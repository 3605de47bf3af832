// One filesystem seen from a root directory: the few operations that the spool protocol is written in.
//
// Each method is one operation of the model (tests/model/spool_model.py) and, with the exceptions noted, one system
// call. Paths are relative to the root; an absolute path means itself. A Disk may be used from several threads.
// Expected codes: kGone (ENOENT), kExists (EEXIST), kForeign (EXDEV), kNoSpace, kAttribute for an attribute that
// does not fit or is not offered here; everything else is kIo. The only file of the project that sets attributes.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/result.hpp"

namespace mfdata {

inline constexpr const char* kTagsAttribute = "user.mfdata.tags";

class Disk {
 public:
  static Result<Disk> open(const std::string& root);

  const std::string& root() const { return root_; }
  dev_t device() const { return device_; }  // of the root
  int descriptor() const { return directory_.get(); }  // of the root
  std::string absolute(const std::string& path) const { return path[0] == '/' ? path : root_ + '/' + path; }

  // O_CREAT|O_EXCL, mode 0600, readable and writable.
  Result<FileDescriptor> create(const std::string& path) const;
  // The same for a place that is ours alone: what an earlier attempt left there is removed first.
  Result<FileDescriptor> create_anew(const std::string& path) const;
  // Read-only, without following a link in the last place and without waiting (FIFO).
  Result<FileDescriptor> open_file(const std::string& path) const;
  Result<struct stat> status(const std::string& path) const;  // of a link: the link
  bool exists(const std::string& path) const { return bool(status(path)); }
  // Names in a directory without "." and "..", unsorted; several system calls. A missing one is empty.
  Result<std::vector<std::string>> list(const std::string& path) const;
  // The same, one after the other, for directories of any size; the visitor may remove what it is told. False of it: no more.
  Result<void> visit(const std::string& path, const std::function<bool(const std::string& name)>& visitor) const;

  Result<void> rename(const std::string& from, const std::string& to) const;   // RENAME_NOREPLACE
  Result<void> replace(const std::string& from, const std::string& to) const;  // plain rename
  Result<void> link(const std::string& from, const std::string& to) const;
  Result<void> unlink(const std::string& path) const;
  Result<void> symlink(const std::string& content, const std::string& path) const;
  Result<std::string> read_link(const std::string& path) const;
  Result<void> make_directory(const std::string& path) const;    // 0700
  Result<void> ensure_directory(const std::string& path) const;  // with its parents; several system calls
  Result<void> remove_directory(const std::string& path) const;
  // A directory with all that is in it, deepest first; several system calls; a missing one is no error.
  Result<void> remove_tree(const std::string& path) const;
  // A file (data and attributes) or a directory; opened, forced, closed.
  // The owner may read and write the file, whatever its mode was.
  Result<void> make_writable(const std::string& path, mode_t mode) const;
  // Less than 1 MiB or not one inode is left for us: what failed just now failed for want of room.
  std::uint64_t free_bytes() const;
  bool nearly_full() const;
  Result<void> sync(const std::string& path) const;

 private:
  Disk(std::string root, FileDescriptor directory, dev_t device)
      : root_(std::move(root)), directory_(std::move(directory)), device_(device) {}

  std::string root_;
  FileDescriptor directory_;
  dev_t device_;
};

// Operations on an open file; `path` only for the message.
Result<void> set_tags_attribute(int file, const std::string& value, const std::string& path);
Result<std::string> get_tags_attribute(int file, const std::string& path);  // kGone: none there
void drop_tags_attribute(int file);
// Removes every user.mfdata.* attribute but user.mfdata.tags (which the accept replaces).
Result<void> drop_forged_attributes(int file, const std::string& path);
Result<void> sync_file(int file, const std::string& path);
// syncfs(2) of the filesystem that the file is on: what others have written too. It does not tell of each file whether it could be
// written: check_written does, for what was written through this descriptor or since it was opened.
Result<void> sync_filesystem_of(int file, const std::string& path);
Result<void> check_written(int file, const std::string& path);
void start_writing(int file);  // a hint before sync_file of several files: the kernel allots their blocks at once
Result<void> write_all(int file, std::string_view bytes, const std::string& path);
Result<std::string> read_all(int file, std::size_t limit, const std::string& path);
// The content of the regular file `from` into the empty file `to`: by reflink, else copy_file_range(2), and by read and write
// whatever these two leave. Holes stay holes; the offsets of both descriptors do not matter. Without an error the copy has
// the size of its source; a source that changes meanwhile, or cannot be read whole, is an error (kIo).
Result<void> copy_content(int from, int to, const std::string& path);

}  // namespace mfdata
