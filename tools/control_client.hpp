// Asks the loader of a home through run/control.sock.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "libmfdata/home.hpp"

namespace mfdata::tools {

// One line of JSON in, one out. One that is starting is waited for, up to half a minute (kBusy then). kGone: no loader runs. kBusy
// as well when it has not answered within `patience_s`.
Result<std::string> ask_loader(const Home& home, const std::string& request, double patience_s = 10);

// What "status" answers, or an empty object when none answers.
nlohmann::json status_of_loader(const Home& home, double patience_s = 10);

// Has it take up a changed configuration. It answers when it has read and tried everything, which takes at most three minutes, twice
// that when another reload is under way.
Result<std::string> ask_for_reload(const Home& home, bool tries, double patience_s);

}  // namespace mfdata::tools
