// Accept of a file that we may not tag where it stands: another owner's, or one on another filesystem.
//
// A transaction that copies it, run in a process of its own since it may take long (model: accept_foreign):
// tmp/accept/<uid>/origin holds the source's directory and the context, so that a repeat needs nothing else. The
// source is first renamed away: into tmp/accept, or on another filesystem to a hidden name beside itself.
#pragma once

#include <string>

#include "libmfdata/arrival.hpp"

namespace mfdata {

// `directory` relative to the data directory, or absolute. Errors as of `accept`; kNoSpace leaves a state which
// recover_accepts takes up again.
Result<void> accept_foreign(const Spool& spool, const std::string& step, const std::string& directory,
                            const std::string& filename, const ArrivalRules& rules);

// Unfinished accepts: finished, or undone where the source still stands under its own name. Only while no process
// is accepting foreign files. With `deposits`, those that nobody acknowledged go away too (alone, at start).
Result<void> recover_accepts(const Spool& spool, bool deposits);

// Roll-forward of a committed accept: the source on another filesystem goes once the commit is on disk.
Result<void> remove_foreign_source(const Spool& spool, const std::string& commit_base);

}  // namespace mfdata
