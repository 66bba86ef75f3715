// Which model a request means.
#pragma once

#include <string_view>

#include "engine/client.h"
#include "serve/api_error.h"

namespace xh::serve::api {

// 404 that lists what there is.
ApiResult<void> check_model(std::string_view name, const ClientInfo& info);

}  // namespace xh::serve::api
