// Where the loader of a home remembers what it believes of wall time (sdk::WallClock), for itself and for what is beside it.
#pragma once

#include "libmfdata/home.hpp"

namespace mfdata {

inline std::string clock_file(const Home& home) { return (home.run() / "clock").string(); }

}  // namespace mfdata
