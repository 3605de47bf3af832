// Root does nothing in a home of somebody else but as its owner: its links may point anywhere, and its plugins' code is not
// root's to run.
#pragma once

#include "libmfdata/home.hpp"

namespace mfdata {

// For good; nothing when this process is not root, or the home is root's. Called before anything of the home is opened, while
// there is one thread.
Result<void> become_owner(const Home& home);

}  // namespace mfdata
