#include "serve/origin.h"

#include <algorithm>

namespace xh::serve {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Default ports say nothing: "http://h:80" is "http://h".
std::string canonical_origin(std::string_view origin) {
  std::string out = lower(origin);
  for (std::string_view tail : {":80", ":443"}) {
    const std::string_view scheme = tail == ":80" ? "http://" : "https://";
    if (out.starts_with(scheme) && out.ends_with(tail)) out.resize(out.size() - tail.size());
  }
  return out;
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& entry) { return lower(entry) == item; });
}

}  // namespace

std::optional<std::string> host_name(std::string_view host) {
  if (host.empty() || host.size() > 300) return std::nullopt;
  std::string_view name = host, port;
  if (host.front() == '[') {
    const size_t end = host.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    name = host.substr(1, end - 1);
    port = host.substr(end + 1);
  } else if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
    name = host.substr(0, colon);
    port = host.substr(colon);
  }
  if (name.empty()) return std::nullopt;
  const auto is_name_char = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ||
           c == ':' || c == '%';
  };
  if (!std::all_of(name.begin(), name.end(), is_name_char)) return std::nullopt;
  if (!port.empty()) {
    if (port[0] != ':' || port.size() > 6) return std::nullopt;
    if (port.find_first_not_of("0123456789", 1) != std::string_view::npos) return std::nullopt;
  }
  return lower(name);
}

OriginVerdict check_origin(const HttpRequest& request, const ServeOptions& options,
                           bool on_loopback, bool tls) {
  OriginVerdict verdict;
  const auto name = host_name(request.host);
  if (!name) {
    verdict.refused = ApiError(400, "The Host header is missing or malformed.", "Host");
    return verdict;
  }
  if (on_loopback && *name != "localhost" && *name != "127.0.0.1" && *name != "::1" &&
      !name->ends_with(".localhost") && !contains(options.allowed_hosts, *name)) {
    verdict.refused =
        ApiError(403,
                 "This server listens for this machine only and does not answer to the name '" +
                     *name + "'. A proxy's name can be allowed with --allowed-host.",
                 "Host", "host_not_allowed");
    return verdict;
  }
  if (request.origin.empty()) return verdict;
  const std::string origin = canonical_origin(request.origin);
  if (origin == canonical_origin((tls ? "https://" : "http://") + request.host)) return verdict;
  for (const std::string& allowed : options.cors_origins) {
    if (canonical_origin(allowed) == origin) {
      verdict.allow_origin = request.origin;
      return verdict;
    }
  }
  // Behind a proxy that ends TLS the page's origin is https though we see http.
  if (!on_loopback || contains(options.allowed_hosts, *name)) {
    if (origin == canonical_origin("https://" + request.host)) return verdict;
  }
  verdict.refused = ApiError(403,
                             "Requests from pages of '" + request.origin.substr(0, 200) +
                                 "' are not allowed. The origin can be allowed with --cors-origin.",
                             "Origin", "origin_not_allowed");
  return verdict;
}

}  // namespace xh::serve
