// Asks the loader of a home through run/control.sock.
#pragma once

#include "libmfdata/home.hpp"

namespace mfdata::tools {

// One line of JSON in, one out. One that is starting is waited for, up to half a minute (kBusy then). kGone: no loader runs.
Result<std::string> ask_loader(const Home& home, const std::string& request);

}  // namespace mfdata::tools
