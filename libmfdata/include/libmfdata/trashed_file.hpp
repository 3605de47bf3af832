// The files in trash, for the person who looks after them: what there is, back to their step, or away.
#pragma once

#include <string>
#include <vector>

#include "libmfdata/spool.hpp"

namespace mfdata {

struct TrashedFile {
  std::string step;  // dotted
  SpoolName name;
  std::string path;  // relative to the data directory
  std::string note;  // the text of its .json; empty: it has none
};

// Oldest arrival first. Without the notes it reads directories only.
Result<std::vector<TrashedFile>> trashed_files(const Spool& spool);

// Back before its step, as if it had just arrived there: its retries are forgotten and, after a loop, its hops are
// counted anew. The last rename is the commit; before it the file is in trash, whatever is killed, and is shown there. One
// process at a time may do this (the loader does not). kRefused: its context or its content is lost.
Result<void> retry_trashed(const Spool& spool, const TrashedFile& file, bool forget_hops);

// Away for good: the file, then what stands beside it.
Result<void> purge_trashed(const Spool& spool, const TrashedFile& file);

}  // namespace mfdata
