// Runs one listener: `run` on the main thread, the channel and the signal on another one, which calls `stop`.
#pragma once

#include "worker/channel.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata {

Result<void> run_listener(PluginHost& host, Channel& channel, const mfdata_listener& listener);

}  // namespace mfdata
