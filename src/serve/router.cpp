#include "serve/router.h"

#include "serve/api/api.h"
#include "serve/page_route.h"

namespace xh::serve {
namespace {

constexpr bool kOpen = true, kKey = false;
constexpr bool kHeavy = true, kLight = false;

constexpr Route kRoutes[] = {
    {"GET", "/health", kOpen, kLight, api::health},
    {"GET", "/ready", kOpen, kLight, api::ready},
    {"GET", "/v2/health/live", kOpen, kLight, api::health},  // as KServe asks
    {"GET", "/v2/health/ready", kOpen, kLight, api::ready},
    {"GET", kMetricsPath, kKey, kLight, api::metrics},
    {"GET", "/v1/models", kKey, kLight, api::list_models},
    {"GET", "/v1/models/*", kKey, kLight, api::get_model},
    {"POST", "/v1/chat/completions", kKey, kHeavy, api::chat_completions},
    {"POST", "/v1/completions", kKey, kHeavy, api::completions},
    {"POST", "/tokenize", kKey, kHeavy, api::tokenize},
    {"POST", "/detokenize", kKey, kHeavy, api::detokenize},
};

// Files of the page, each by its exact path; one entry here, the list is the page's own.
constexpr Route kPageRoute = {"GET", "/", kKey, kLight, page_file};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool path_matches(const Route& route, std::string_view path, std::string& argument) {
  if (!route.path.ends_with("/*")) return route.path == path;
  const std::string_view stem = route.path.substr(0, route.path.size() - 1);
  if (!path.starts_with(stem) || path.size() == stem.size()) return false;
  argument = path.substr(stem.size());
  return true;
}

}  // namespace

std::span<const Route> all_routes() {
  return kRoutes;
}

RouteMatch find_route(std::string_view method, std::string_view path) {
  RouteMatch match;
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  const auto offer = [&](const Route& route, std::string argument) {
    if (route.method == wanted) {
      match.route = &route;
      match.argument = std::move(argument);
      return;
    }
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method;
    if (route.method == "GET") match.allow += ", HEAD";
  };
  for (const Route& route : kRoutes) {
    std::string argument;
    if (!match.route && path_matches(route, path, argument)) offer(route, std::move(argument));
  }
  if (!match.route && page_has(path)) offer(kPageRoute, {});
  return match;
}

std::string target_path(std::string_view target) {
  // The absolute form, as proxies send it.
  for (std::string_view scheme : {"http://", "https://"}) {
    if (target.starts_with(scheme)) {
      const size_t slash = target.find('/', scheme.size());
      target = slash == std::string_view::npos ? "/" : target.substr(slash);
      break;
    }
  }
  target = target.substr(0, target.find('?'));
  if (target.empty() || target[0] != '/') return {};
  std::string path;
  for (size_t i = 0; i < target.size(); ++i) {
    char c = target[i];
    if (c == '%') {
      if (i + 2 >= target.size()) return {};
      const int high = hex_digit(target[i + 1]), low = hex_digit(target[i + 2]);
      if (high < 0 || low < 0) return {};
      c = static_cast<char>(high << 4 | low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return {};
    path += c;
  }
  if (path.find("/../") != std::string::npos || path.ends_with("/..")) return {};
  return path;
}

}  // namespace xh::serve
