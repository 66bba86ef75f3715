// Which web pages may talk to the server. Without this a page on any site could reach a server on
// the visitor's own machine (DNS rebinding, cross-site requests).
#pragma once

#include <optional>
#include <string>

#include "serve/api_error.h"
#include "serve/http.h"
#include "serve/options.h"

namespace xh::serve {

struct OriginVerdict {
  std::optional<ApiError> refused;
  std::string allow_origin;  // for Access-Control-Allow-Origin; empty: same origin or no browser
};

// Host must be a loopback name when the server listens on loopback only; Origin, if sent, must be
// the server itself or one of cors_origins.
OriginVerdict check_origin(const HttpRequest& request, const ServeOptions& options,
                           bool on_loopback, bool tls);

// "localhost:8080" → "localhost"; "[::1]:80" → "::1"; nullopt when malformed.
std::optional<std::string> host_name(std::string_view host);

}  // namespace xh::serve
