// Questions about the configuration of a home that a part of its files answers.
#pragma once

#include <optional>
#include <string_view>

#include "libmfdata/settings.hpp"

namespace mfdata {

// Whether a step ("plugin/step") is configured; only the files of its plugin are read. Nothing when they cannot be.
std::optional<bool> is_configured(const Home& home, const GeneralSettings& general, const std::string& slashed);

// mfdata.toml, and of the plugins those whose files speak of `key` (watched_directories, for example): the others are not parsed,
// since they may hold very many rules. What is wrong with one leaves it out.
Settings load_plugins_with(const Home& home, std::string_view key);

// Where [metrics] listen is written; nowhere (an empty file) when it is the default.
Location place_of_metrics(const Home& home);

}  // namespace mfdata
