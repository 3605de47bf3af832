// Whether an address like "127.0.0.1:9464", "[::1]:9464" or "9464" can be listened on: it is tried, and given up at once.
#pragma once

#include <string>

#include "libmfdata/result.hpp"

namespace mfdata {

// Of none ("") too. The error says what to do.
Result<void> can_listen(const std::string& address);

}  // namespace mfdata
