// What a plugin library says of itself, printed as JSON: run by mfdata-plugin in a process of its own.
#pragma once

#include <string>

namespace mfdata {

int describe(const std::string& library);  // the exit code

}  // namespace mfdata
