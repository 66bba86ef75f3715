// Reading JSON that others wrote: a wrong type reads as absent, so that one check covers both.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace xh::hub {

// Depth-limited; kCorrupt when it is no JSON or no object / array.
Result<boost::json::value> parse_json(std::string_view text, const std::string& where);
Result<boost::json::object> parse_json_object(std::string_view text, const std::string& where);

std::string string_field(const boost::json::object& object,
                         std::string_view key);  // "" when absent
uint64_t size_field(const boost::json::object& object,
                    std::string_view key);  // 0 when absent or negative
const boost::json::array* array_field(const boost::json::object& object, std::string_view key);
const boost::json::object* object_field(const boost::json::object& object, std::string_view key);

}  // namespace xh::hub
