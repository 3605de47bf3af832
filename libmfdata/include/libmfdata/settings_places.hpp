// Questions about the configuration of a home that a part of its files answers.
#pragma once

#include "libmfdata/settings.hpp"

namespace mfdata {

// Whether a step ("plugin/step") is configured; only the files of its plugin are read. False when they cannot be.
bool is_configured(const Home& home, const GeneralSettings& general, const std::string& slashed);

// Where [metrics] listen is written; nowhere (an empty file) when it is the default.
Location place_of_metrics(const Home& home);

}  // namespace mfdata
