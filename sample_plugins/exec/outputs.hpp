// What an answer asks for, staged with the host: tags, outputs, and where each of them goes.
#pragma once

#include <map>
#include <mfdata/plugin.hpp>
#include <string>

#include "messages.hpp"

namespace exec_protocol {

// The answer to one file. An error of the host that is not the answer's (E_IO, E_FULL and the like) leaves as sdk::Error;
// what is wrong with the answer as Malformed.
void stage_answer(const mfdata::sdk::File& file, const Answer& answer, const std::string& dest_dir);

// The outputs of a whole batch. `files`: those of the batch by their ids.
void stage_batch_answer(const mfdata::sdk::Context& context, const std::map<std::string, mfdata::sdk::File*>& files,
                        const Answer& answer, const std::string& dest_dir);

}  // namespace exec_protocol
