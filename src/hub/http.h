// One HTTP exchange through libcurl, with what a hub needs: redirects, a byte range, a token that
// stays with its host, and errors that say what to do. Retrying is the caller's (fetch.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/settings.h"

namespace xh::hub {

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string bearer;                // token; libcurl drops it when a redirect leaves the host
  std::string ca_file;
  uint64_t from = 0;         // first byte wanted
  std::string if_range;      // ETag the range must belong to
  std::string denied_help;   // remedy for 401 and 403
  std::string missing_help;  // remedy for 404
};

// What is known when the body begins.
struct HttpHead {
  long status = 0;
  uint64_t from = 0;                          // of the body's first byte; 0 unless status is 206
  std::optional<uint64_t> total_bytes;        // of the whole resource
  std::string etag, content_type, link, url;  // url: after redirects
  std::string hub_message;                    // X-Error-Message, made printable
  std::chrono::seconds retry_after{0};
};

// How an exchange ended. No error: the body arrived whole.
struct HttpOutcome {
  HttpHead head;
  std::optional<Error> error;
  bool may_retry = false;
  bool reached = false;  // somebody answered
};

using HeadFn = std::function<Result<void>(const HttpHead&)>;  // only for 200 and 206
using BodyFn =
    std::function<Result<void>(std::span<const std::byte>)>;  // an error ends the exchange
using StoppedFn = std::function<bool()>;                      // asked a few times a second

HttpOutcome http_exchange(const HttpRequest& request, const RetryPolicy& policy,
                          const HeadFn& on_head, const BodyFn& on_body, const StoppedFn& stopped);

struct HttpText {
  HttpHead head;
  std::string body;
};

// A small document, with retries. kTooLarge past `max_bytes`.
Result<HttpText> http_get(const HttpRequest& request, const RetryPolicy& policy, size_t max_bytes,
                          const StoppedFn& stopped);

// The wait before try number `failures + 1`, or what the server asked for, never past the longest.
std::chrono::milliseconds retry_wait(const RetryPolicy& policy, int failures,
                                     std::chrono::seconds asked);
// Sleeps unless stopped; false when stopped.
bool wait_unless_stopped(std::chrono::milliseconds time, const StoppedFn& stopped);

// `reference` as seen from `base`; empty when either is no URL.
std::string resolve_url(const std::string& base, const std::string& reference);
// Percent-encodes one path component, or with `keep_slashes` a whole path.
std::string url_encode(const std::string& text, bool keep_slashes = false);
std::string url_decode(const std::string& text);
// Without user, password, query and fragment: safe to print.
std::string printable_url(const std::string& url);

}  // namespace xh::hub
