// The page's files, served from the program itself.
#pragma once

#include <string_view>

#include "serve/http.h"

namespace xh::serve {

struct Service;

bool page_has(std::string_view path);
HttpReply page_file(HttpRequest& request, Service& service);

}  // namespace xh::serve
