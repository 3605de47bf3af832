// One log file, rotated by size. It follows its name: what was removed or renamed from outside is opened anew when `look`
// notices, or `reopen` is told. What cannot be written is told by `problem`, and tried again with each line. Makes its
// directory. Knows nothing of what the lines are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libmfdata/file_descriptor.hpp"

namespace mfdata {

class LogFile {
 public:
  // `keep`: so many older files, NAME.1.log being the youngest.
  LogFile(std::string path, std::uint64_t rotate_size, unsigned keep);

  // With its newline. False: it is not there, or not all of it; `problem` tells why.
  bool write(std::string_view line);
  void look();    // about once a second
  void reopen();
  const std::string& path() const { return path_; }
  const std::string& problem() const { return problem_; }  // of the last line, until there is room again; empty: none

 private:
  bool open();
  void rotate();
  std::string older(unsigned number) const;
  bool failed(const std::string& what, int error);

  std::string path_;
  std::uint64_t rotate_size_;
  unsigned keep_;
  FileDescriptor file_;
  std::uint64_t size_ = 0, rotate_at_ = 0;
  bool torn_ = false;  // a line ends in its middle: the next one begins with a newline
  std::string problem_;
};

}  // namespace mfdata
