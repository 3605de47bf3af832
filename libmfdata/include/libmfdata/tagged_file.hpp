// A file with its context, wherever it stands: read, commit, copy, link, move, remove; the context follows.
//
// The context is in the attribute user.mfdata.tags, or, for a spool name with a "c", in the sidecar of the data
// directory that the file is in. A copy is an inode and a delivery of its own: it gets a uid of its own. A link
// shares the inode, and so the attribute. Nothing here overwrites a file. Paths are absolute or of the working
// directory. For tools and tests: the spool's own moves have their order of system calls in the files of the spool.
#pragma once

#include <string>

#include "libmfdata/context.hpp"
#include "libmfdata/file_descriptor.hpp"

namespace mfdata {

class TaggedFile {
 public:
  // kGone: there is no such file, or its sidecar is missing.
  static Result<TaggedFile> open(const std::string& path);

  const std::string& path() const { return path_; }
  int file() const { return file_.get(); }
  // kGone: it has none. kBadData: it is broken.
  Result<Context> context() const;
  // The context, or a new one (a fresh uid, generation 0) for a file that has none.
  Result<Context> context_or_new() const;
  // One setxattr, or a sidecar replaced by rename. kAttribute: it does not fit.
  Result<void> commit(const Context& context) const;

  // A new file with the content (reflink where the filesystem has it) and the tags; forced to disk. On a filesystem
  // without attributes the copy has no context.
  Result<TaggedFile> copy_to(const std::string& path) const;
  Result<TaggedFile> link_to(const std::string& path) const;
  // A rename, or to another filesystem a copy, forced, and then the end of the source.
  Result<void> move_to(const std::string& path);
  Result<void> remove();  // with its sidecar

 private:
  TaggedFile(std::string path, FileDescriptor file, std::string sidecar)
      : path_(std::move(path)), file_(std::move(file)), sidecar_(std::move(sidecar)) {}

  std::string path_;
  FileDescriptor file_;
  std::string sidecar_;  // absolute; empty: the attribute
};

}  // namespace mfdata
