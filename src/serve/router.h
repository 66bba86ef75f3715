// The table of everything that can be asked for. What is not in it does not exist.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "serve/http.h"

namespace xh::serve {

struct Service;

struct Route {
  std::string_view method;
  std::string_view path;  // ends with "/*" when its last part is an argument
  bool open;              // needs no key
  bool heavy;             // reads, renders or tokenizes: runs on a worker thread
  HttpReply (*handle)(HttpRequest& request, Service& service);
};

inline constexpr std::string_view kMetricsPath = "/metrics";

std::span<const Route> all_routes();

struct RouteMatch {
  const Route* route = nullptr;
  std::string argument;
  std::string allow;  // methods that the path knows, when the method was wrong
};

// HEAD is answered by the GET route.
RouteMatch find_route(std::string_view method, std::string_view path);

// The path of a request target, percent-decoded, without query. Empty when it is malformed, or
// holds ".." as a part, or control characters.
std::string target_path(std::string_view target);

}  // namespace xh::serve
