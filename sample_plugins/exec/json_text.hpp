// Bytes of any kind as JSON, and back. JSON has only Unicode, but names of files and values of tags are bytes.
//
// Bytes that are no UTF-8 are written in one of two ways, which the program chooses:
//   kSurrogates  \udc80 to \udcff, as Python's surrogateescape has it
//   kPercent     %80 to %FF, and %25 for the percent sign itself: for parsers that take no lone surrogates
// What is written is plain ASCII, so that no locale of a program can change it. What is read may be UTF-8.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace exec_protocol {

enum class Encoding { kSurrogates, kPercent };

// A line or a member is not what it has to be; the text says which, and what it has to be.
struct Malformed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The beginning of what the program wrote, in quotes, for a message that somebody reads.
std::string shown(std::string_view bytes);

// A JSON string.
std::string json_text(std::string_view bytes, Encoding encoding);

// The JSON object of one line. Throws Malformed.
nlohmann::json parsed_object(const std::string& line);

// The bytes of a JSON string of `parsed_object`, and of the name of a member of it. Throws Malformed; `what` names it.
std::string bytes_of(const nlohmann::json& value, const char* what, Encoding encoding);
std::string bytes_of_name(const std::string& name, Encoding encoding);

}  // namespace exec_protocol
