// mfdata-plugin run.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "libmfdata/printable.hpp"
#include "trial_run.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

// Lines of a worker begin with "<level>", as sd-daemon(3) has it.
std::string readable(const std::string& log) {
  static constexpr const char* kWords[] = {"error", "error", "error", "error", "warning", "info", "info", "debug"};
  std::string out;
  for (std::size_t at = 0; at < log.size();) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    const std::string line = log.substr(at, end - at);
    const bool marked = line.size() > 3 && line[0] == '<' && line[2] == '>' && line[1] >= '0' && line[1] <= '7';
    out += "  " + std::string(marked ? kWords[line[1] - '0'] : "output") + ": " + printable(marked ? line.substr(3) : line) + '\n';
    at = end + 1;
  }
  return out;
}

void show(const json& out) {
  std::printf("result: %s", out["result"].get<std::string>().c_str());
  if (const std::string reason = out["reason"].get<std::string>(); !reason.empty()) std::printf(": %s", printable(reason).c_str());
  std::printf("  (%.2f ms)\n", out["milliseconds"].get<double>());
  for (const json& output : out["outputs"]) {
    std::printf("output: %s, %lld bytes\n", printable(output["to"].get<std::string>()).c_str(), output["size"].get<long long>());
    for (const auto& [name, value] : output["tags"].items())
      std::printf("  %s = %s\n", printable(name).c_str(), printable(value.get<std::string>(), 500).c_str());
  }
  if (out["outputs"].empty()) std::cout << "output: none\n";
  if (out["trash"].is_object())
    std::cout << "trash: " << printable(out["trash"].value("reason", "") + ": " + out["trash"].value("error", "")) << '\n';
  for (const json& metric : out["metrics"])
    std::cout << "metric: " << metric["name"].get<std::string>() << (metric["labels"].empty() ? "" : metric["labels"].dump()) << ' '
              << metric["value"] << '\n';
  if (const std::string log = out["log"].get<std::string>(); !log.empty()) std::cout << "log:\n" << readable(log);
}

}  // namespace

int run_step(const std::string& home_option, const RunOptions& options, bool as_json) {
  Variation variation;
  variation.host.fail_call = options.fail_call;
  variation.host.cancelled = options.cancelled;
  variation.host.sizes.host = options.host_size;
  auto out = run_trial(home_option, options, variation);
  if (!out) return fail(out.error().text);
  if (as_json) {
    std::cout << out->dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  } else {
    show(*out);
  }
  if (options.keep) std::cerr << "kept: " << (*out)["kept"].get<std::string>() << '\n';
  return (*out)["result"] == "ok" ? 0 : 1;
}

}  // namespace mfdata::tools
