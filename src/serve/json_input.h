// JSON from strangers: bounded depth, bounded number of values, no duplicate keys, valid UTF-8.
#pragma once

#include <boost/json.hpp>
#include <string_view>

#include "serve/api_error.h"

namespace xh::serve {

struct JsonLimits {
  uint32_t depth = 64;
  uint64_t values = 2'000'000;
  uint32_t key_bytes = 4096;
};

// Time and memory are linear in the text. Errors are 400 and name the byte offset.
ApiResult<boost::json::value> parse_json(std::string_view text, JsonLimits limits = {});

}  // namespace xh::serve
