// The reading half of a connection: header, access, body, each with its limits and its time.
#include <fmt/core.h>

#include "serve/api/generation.h"
#include "serve/connection.h"
#include "serve/origin.h"

namespace xh::serve {
namespace http = boost::beast::http;

namespace {

constexpr uint64_t kSlowestBytesPerSecond = 16u << 10;

std::string_view header(const http::request<http::string_body>& message, http::field name) {
  const auto value = message[name];
  return {value.data(), value.size()};
}

bool same_word(std::string_view a, std::string_view lower) {
  return a.size() == lower.size() &&
         std::equal(a.begin(), a.end(), lower.begin(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) == y;
         });
}

// "application/json", parameters aside.
bool is_json(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return same_word(type, "application/json");
}

ApiError parse_error(ErrorCodeOf ec, const ServeOptions& options) {
  if (ec == http::error::header_limit) {
    return {431,
            fmt::format("The header must not be longer than {} bytes.", options.max_header_bytes)};
  }
  if (ec == http::error::body_limit) {
    return {413, fmt::format("The body must not be longer than {} bytes.", options.max_body_bytes)};
  }
  if (ec == http::error::bad_version) return {505, "This server speaks HTTP/1.0 and HTTP/1.1."};
  return {400, "This is not a well-formed HTTP request: " + ec.message() + "."};
}

}  // namespace

asio::awaitable<bool> Connection::read_header(Parser& parser) {
  bool begun = false;
  size_t header_bytes = 0;  // counted here: the parser's own limit holds for each piece it is given
  auto deadline = Clock::now() + service_.options.idle_timeout;
  for (;;) {
    if (!input_.empty()) {
      if (!begun) deadline = Clock::now() + service_.options.header_timeout;
      begun = true;
      ErrorCodeOf ec;
      const size_t used = parser.put(asio::buffer(input_), ec);
      input_.erase(0, used);
      space_.cancel();
      header_bytes += used;
      const size_t pending = parser.is_header_done() ? 0 : input_.size();
      if (header_bytes + pending > service_.options.max_header_bytes &&
          (!ec || ec == http::error::need_more)) {
        ec = http::error::header_limit;
      } else if (parser.is_header_done()) {
        co_return true;
      }
      if (ec && ec != http::error::need_more) {
        const ApiError error = parse_error(ec, service_.options);
        co_await refuse(error);
        co_return false;
      }
    }
    if (input_ended_ || closed_) co_return false;
    const bool woken = co_await wait(deadline);
    if (woken || Clock::now() < deadline) continue;
    ++service_.metrics.timeouts;
    if (begun) {
      const ApiError error(408, "The header did not arrive in time.");
      co_await refuse(error);
    }
    co_return false;
  }
}

asio::awaitable<bool> Connection::read_body(Parser& parser) {
  if (same_word(header(parser.get(), http::field::expect), "100-continue") && input_.empty() &&
      parser.get().version() >= 11) {
    const bool ok = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
    if (!ok) co_return false;
  }
  const auto begin = Clock::now();
  uint64_t received = 0;
  std::optional<ApiError> error;
  while (!parser.is_done() && !error) {
    const auto deadline = begin + service_.options.body_grace +
                          std::chrono::seconds(received / kSlowestBytesPerSecond);
    if (input_.empty()) {
      if (input_ended_ || closed_) co_return false;
      const bool woken = co_await wait(deadline);
      if (!woken && Clock::now() >= deadline) {
        ++service_.metrics.timeouts;
        error = ApiError(408, "The body did not arrive in time.");
      }
      continue;
    }
    ErrorCodeOf ec;
    const size_t used = parser.put(asio::buffer(input_), ec);
    input_.erase(0, used);
    received += used;
    space_.cancel();
    if (ec == http::error::need_more) {
      // A chunk's head that does not end is not worth more buffer than this.
      if (used == 0 && input_.size() >= service_.options.max_header_bytes) {
        error = ApiError(400, "A chunk's head is too long.");
      } else if (used == 0) {
        if (input_ended_ || closed_) co_return false;
        const bool woken = co_await wait(deadline);
        if (!woken && Clock::now() >= deadline) {
          ++service_.metrics.timeouts;
          error = ApiError(408, "The body did not arrive in time.");
        }
      }
    } else if (ec) {
      error = parse_error(ec, service_.options);
    }
    // Chunked bodies announce no length: they are counted as they grow.
    const uint64_t size = parser.get().body().size();
    if (size > reserved_body_) {
      const uint64_t more = size - reserved_body_;
      reserved_body_ = size;
      if (service_.body_bytes.fetch_add(more) + more > service_.options.body_budget_bytes) {
        error = ApiError(503, "Too many large requests at once.", {}, "overloaded");
        error->retry_after = 1;
      }
    }
  }
  if (!error) co_return true;
  co_await refuse(*error);
  co_return false;
}

// What a request's framing must look like so that no other reader of it can disagree with us.
std::optional<ApiError> Connection::check_framing(const Parser& parser) const {
  const auto& message = parser.get();
  for (const auto& [name, text] : {std::pair(http::field::host, "Host"),
                                   std::pair(http::field::authorization, "Authorization"),
                                   std::pair(http::field::origin, "Origin"),
                                   std::pair(http::field::content_type, "Content-Type"),
                                   std::pair(http::field::content_length, "Content-Length"),
                                   std::pair(http::field::transfer_encoding, "Transfer-Encoding"),
                                   std::pair(http::field::expect, "Expect")}) {
    if (message.count(name) > 1) {
      return ApiError(400, fmt::format("The header {} must not appear twice.", text), text);
    }
  }
  // "2, 2" would be legal and means nothing that "2" does not.
  const std::string_view length = header(message, http::field::content_length);
  if (length.find_first_not_of("0123456789") != std::string_view::npos) {
    return ApiError(400, "Content-Length must be one number.", "Content-Length");
  }
  const std::string_view coding = header(message, http::field::transfer_encoding);
  if (message.count(http::field::transfer_encoding) > 0) {
    if (message.version() < 11) {
      return ApiError(400, "HTTP/1.0 has no Transfer-Encoding.", "Transfer-Encoding");
    }
    if (!same_word(coding, "chunked")) {
      return ApiError(501, "The only transfer coding here is chunked.", "Transfer-Encoding");
    }
  }
  if (message.version() >= 11 && message.count(http::field::host) != 1) {
    return ApiError(400, "The Host header is missing.", "Host");
  }
  const std::string_view expect = header(message, http::field::expect);
  if (!expect.empty() && !same_word(expect, "100-continue")) {
    return ApiError(417, "The only expectation that can be met is 100-continue.", "Expect");
  }
  return std::nullopt;
}

std::optional<ApiError> Connection::check_access() {
  OriginVerdict verdict =
      check_origin(request_, service_.options, context_.on_loopback, context_.tls);
  meta_.allow_origin = verdict.allow_origin;
  if (verdict.refused) return verdict.refused;
  if (!route_ || route_->open || service_.keys.empty()) return std::nullopt;
  if (service_.options.open_metrics && route_->path == kMetricsPath) return std::nullopt;
  auto tenant = service_.keys.check(request_.authorization);
  if (!tenant) {
    return ApiError(401,
                    request_.authorization.empty()
                        ? "This server needs a key. Send it as: Authorization: Bearer KEY"
                        : "This key is not known here.",
                    {}, "invalid_api_key");
  }
  request_.tenant = std::move(*tenant);
  return std::nullopt;
}

std::optional<ApiError> Connection::check_header(const Parser& parser) {
  const auto& message = parser.get();
  meta_.http_minor = message.version() >= 11 ? 1 : 0;
  meta_.keep_alive = parser.keep_alive();
  request_.method = std::string(message.method_string());
  meta_.is_head = request_.method == "HEAD";
  request_.id = make_id("req_");
  meta_.request_id = request_.id;
  if (auto error = check_framing(parser)) return error;
  request_.host = header(message, http::field::host);
  if (request_.host.empty()) request_.host = "localhost";  // only HTTP/1.0 gets here without one
  request_.origin = header(message, http::field::origin);
  request_.authorization = header(message, http::field::authorization);
  request_.content_type = header(message, http::field::content_type);
  request_.if_none_match = header(message, http::field::if_none_match);
  request_.accept_encoding = header(message, http::field::accept_encoding);
  request_.path = target_path({message.target().data(), message.target().size()});
  if (request_.path.empty()) return ApiError(400, "The request's target is malformed.");

  RouteMatch match = find_route(request_.method, request_.path);
  const bool preflight = request_.method == "OPTIONS" && !match.allow.empty() &&
                         message.count(http::field::access_control_request_method) > 0;
  route_ = match.route;
  request_.argument = std::move(match.argument);
  if (auto error = check_access()) return error;
  if (preflight && !meta_.allow_origin.empty() && parser.is_done()) return std::nullopt;
  if (!route_ && !match.allow.empty()) {
    ApiError error(405, request_.path.substr(0, 200) + " knows only " + match.allow + ".");
    error.allow = match.allow;
    return error;
  }
  if (!route_) return ApiError(404, "There is nothing at " + request_.path.substr(0, 200) + ".");

  const auto length = parser.content_length();
  if (request_.method == "POST") {
    if (!length && !parser.chunked()) {
      return ApiError(411, "Send Content-Length, or a chunked body.", "Content-Length");
    }
    if (!is_json(request_.content_type)) {
      return ApiError(415, "Send the body as Content-Type: application/json.", "Content-Type");
    }
  } else if (!parser.is_done()) {
    return ApiError(400, "A " + request_.method + " request has no body here.");
  }
  if (length && *length > 0) {
    reserved_body_ = *length;
    if (service_.body_bytes.fetch_add(*length) + *length > service_.options.body_budget_bytes) {
      ApiError error(503, "Too many large requests at once.", {}, "overloaded");
      error.retry_after = 1;
      return error;
    }
  }
  return std::nullopt;
}

}  // namespace xh::serve
