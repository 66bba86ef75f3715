// The messages and tools of a chat request, checked and brought into the form that chat templates
// expect.
#pragma once

#include <boost/json.hpp>

#include "serve/api_error.h"

namespace xh::serve {

inline constexpr size_t kMaxMessages = 4096;
inline constexpr size_t kMaxTools = 1024;

ApiResult<boost::json::array> read_messages(const boost::json::array& messages);
ApiResult<boost::json::array> read_tools(const boost::json::array& tools);

}  // namespace xh::serve
