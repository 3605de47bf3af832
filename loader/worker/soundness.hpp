// Whether this process still has what its host needs: a plugin lives in it, and can take that away without meaning to.
//
// A descriptor closed twice or `closefrom` takes the host's, a leak the last free one, setrlimit the right to write. From then
// on each operation of the host fails, for every file: such a worker has to be replaced. Used on one thread.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace mfdata {

class Soundness {
 public:
  Soundness();  // as things are now, before anything of the plugin runs

  // A descriptor that has to stay what it is.
  void watch(int descriptor, std::string what);

  // What the plugin has done, as in "the plugin has closed the descriptor of the spool"; empty: nothing.
  std::string trouble() const;
  // Only its limits, which costs next to nothing.
  std::string lowered_limit() const;

 private:
  struct Watched {
    int descriptor;
    std::string what;
    dev_t device;
    ino_t inode;
  };
  std::vector<Watched> watched_;
  rlim_t open_files_ = 0, file_size_ = 0;
};

}  // namespace mfdata
