// Accept of a file that we may not tag where it stands: another owner's, or one on another filesystem.
//
// A transaction that copies it, run in a process of its own since it may take long (model: accept_foreign):
// tmp/accept/<uid>/origin holds the source's directory and the context, so that a repeat needs nothing else. The
// source is first renamed away: into tmp/accept, or on another filesystem to a hidden name beside itself. Whoever
// has it open may go on writing all the same: its size is compared after the copy and before it is removed, and a
// file that has grown is copied anew.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "libmfdata/arrival.hpp"

namespace mfdata {

inline constexpr double kNeverQuiet = 1e18;  // only a lease shows that nobody writes a file

// When a file of somebody else is complete: nobody has it open for writing, or, where that cannot be
// asked, it has been quiet.
struct ForeignRules {
  std::uint64_t max_file_size = ArrivalRules().max_file_size;
  // Whether a process that may be looked into writes it; empty: nobody looks.
  std::function<bool(const struct stat&)> written;
  bool quiet = true;  // it has not changed for so long that this alone makes it complete
};

// `directory` relative to the data directory, or absolute. Errors as of `accept`, and:
//   kBusy     somebody writes it; when it has been taken already, it waits in tmp/accept until recover_accepts
//             finds it quiet
//   kForeign  nobody can tell whether somebody writes it, and it has not been quiet for long enough
//   kNoSpace  leaves a state which recover_accepts takes up again
Result<void> accept_foreign(const Spool& spool, const std::string& step, const std::string& directory,
                            const std::string& filename, const ForeignRules& rules, const std::string& uid = fresh_uid());

// Unfinished accepts: finished, or undone where the source still stands under its own name. Only while no process
// is accepting foreign files. With `deposits`, those that nobody acknowledged go away too (alone, at start).
// One that has grown since it was taken waits until nobody writes it or, where that cannot be asked, until it has
// not changed for `quiet_s`: that is no error.
Result<void> recover_accepts(const Spool& spool, bool deposits, double quiet_s);

// Roll-forward of a committed accept: the source goes once the commit is on disk. One that has grown after it was
// copied is an arrival again, so that the whole of it comes.
Result<void> remove_foreign_source(const Spool& spool, const std::string& commit_base);

}  // namespace mfdata
