// A directory for the files that a listener's program is about to deposit. It goes away with the object; what a killed
// process has left is removed by the next one that is made in the same place.
#pragma once

#include <mfdata/command.hpp>
#include <string>

namespace exec_protocol {

class Scratch {
 public:
  // In `parent`; empty: in $TMPDIR, or /tmp. Throws sdk::Error.
  explicit Scratch(const std::string& parent);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  mfdata::sdk::detail::Descriptor lock_;
};

}  // namespace exec_protocol
