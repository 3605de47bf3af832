// TCP addresses to listen on, as the configuration has them: "127.0.0.1:9464", "[::1]:9464", "name:9464", or "9464", which is
// every IPv4 address of the machine.
#pragma once

#include <string>

#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/result.hpp"

namespace mfdata {

// A socket that listens there, non-blocking; of a name with addresses of both kinds at the first of IPv4 that can be had.
Result<FileDescriptor> listening_socket(const std::string& address);

// Whether one can be had: it is tried, and given up at once. "" always can. `own_port`: 0, or where the loader that asks, or that is
// asked about, listens itself: that this port is in use is no error. The error says what to do.
Result<void> can_listen(const std::string& address, int own_port);

}  // namespace mfdata
