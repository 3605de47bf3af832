// The process of the code rules of a routing plugin: the other end of PredicateProcess. Loads the libraries, compiles the rules,
// and answers questions until its parent is gone.
#pragma once

#include "libmfdata/spool.hpp"
#include "worker/channel.hpp"
#include "worker/plugin_host.hpp"
#include "wire/worker_settings.hpp"

namespace mfdata {

Result<void> run_predicates(const Spool& spool, const wire::WorkerSettings& settings, wire::ProgressPage& progress, Channel& channel, unsigned owner,
                            const Surroundings& surroundings);

}  // namespace mfdata
