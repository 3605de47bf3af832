// The lines that the plugin exec and its program exchange: JSON, one object a line.
//
//   program, once        {"ready": true}
//   request, per file    {"id": "7", "path": "/..", "scratch": "/..", "tags": {"name": "value", ..}}
//   answer, per file     {"status": "ok", "id": "7", "reason": "..", "delay": 10, "tags": {"name": "value", "gone": null},
//                         "outputs": [{"path": "out.txt", "to": "plugin/step", "tags": {..}}]}
//
// Only "status" must be there: "ok", "fail", "retry" (perhaps with a "delay" in seconds) or "skip". Tags named without a
// dot are tags of this hop; null deletes one with its whole name. An "id" has to be that of the request. An output is a file that the program made in the scratch directory, or the
// path of the request: then the file itself goes on. It goes "to" a step, or to the key dest_dir. An input that is no
// output ends. Bytes that are no UTF-8 are written \udc80 to \udcff, as Python's surrogateescape has it.
#pragma once

#include <mfdata/plugin.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace line_protocol {

using Tags = std::vector<std::pair<std::string, std::optional<std::string>>>;  // nothing: to be deleted

struct Output {
  std::string path;
  std::string to;  // empty: dest_dir
  Tags tags;
};

struct Answer {
  mfdata::sdk::Result result;
  Tags tags;
  std::vector<Output> outputs;
};

// The answer is to another request.
struct OtherRequest : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string request(const std::string& id, const std::string& path, const std::string& scratch,
                    const std::vector<std::pair<std::string, std::string>>& tags);

// Throws std::runtime_error with what is wrong.
Answer parse_answer(const std::string& line, const std::string& id);
bool is_ready(const std::string& line);

}  // namespace line_protocol
