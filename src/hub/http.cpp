#include "hub/http.h"

#include <curl/curl.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <thread>

#include "hub/safe_name.h"

namespace xh::hub {
namespace {

constexpr long kMaxRedirects = 10;

struct FreeEasy {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

bool start_curl() {
  static const bool ok = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ok;
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return out;
}

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// State of one exchange, shared with libcurl's callbacks.
struct Exchange {
  CURL* curl = nullptr;
  const HeadFn* on_head = nullptr;
  const BodyFn* on_body = nullptr;
  const StoppedFn* stopped = nullptr;
  HttpHead head;
  std::optional<uint64_t> content_length;
  std::optional<Error> error;  // from a callback
  bool head_seen = false;

  // "bytes 100-199/1000"
  void read_content_range(std::string_view value) {
    if (!value.starts_with("bytes ")) return;
    value.remove_prefix(6);
    const size_t dash = value.find('-'), slash = value.find('/');
    if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return;
    if (auto from = parse_number(value.substr(0, dash))) head.from = *from;
    head.total_bytes = parse_number(value.substr(slash + 1));
  }

  void read_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // each redirect starts a new block
      head = {};
      content_length.reset();
      const size_t space = line.find(' ');
      if (space != std::string_view::npos)
        head.status = parse_number(line.substr(space + 1, 3)).value_or(0);
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string name = lower_case(line.substr(0, colon));
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t'))
      value.remove_prefix(1);
    while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ')
      value.remove_suffix(1);
    if (name == "etag") head.etag = value.substr(0, 200);
    if (name == "content-type") head.content_type = lower_case(value.substr(0, 200));
    if (name == "link") head.link = value.substr(0, 4096);
    if (name == "x-error-message") head.hub_message = printable(value, 200);
    if (name == "content-length") content_length = parse_number(value);
    if (name == "content-range") read_content_range(value);
    if (name == "retry-after")
      head.retry_after =
          std::chrono::seconds(std::min<uint64_t>(parse_number(value).value_or(0), 3600));
  }

  bool begin_body() {
    head_seen = true;
    char* url = nullptr;
    if (curl_easy_getinfo(curl, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK && url != nullptr)
      head.url = url;
    if (head.status == 200) {
      head.from = 0;
      head.total_bytes = content_length;
    }
    if (head.status != 200 && head.status != 206) return true;  // an error page; not for the caller
    if (auto ok = (*on_head)(head); !ok) {
      error = ok.error();
      return false;
    }
    return true;
  }
};

size_t header_callback(char* data, size_t, size_t bytes, void* user) {
  static_cast<Exchange*>(user)->read_header({data, bytes});
  return bytes;
}

size_t body_callback(char* data, size_t, size_t bytes, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (!exchange.head_seen && !exchange.begin_body()) return 0;
  if (exchange.head.status != 200 && exchange.head.status != 206) return bytes;
  if (auto ok = (*exchange.on_body)({reinterpret_cast<const std::byte*>(data), bytes}); !ok) {
    exchange.error = ok.error();
    return 0;
  }
  return bytes;
}

int progress_callback(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& stopped = *static_cast<Exchange*>(user)->stopped;
  return stopped && stopped() ? 1 : 0;
}

HeaderList set_options(CURL* curl, const HttpRequest& request, const RetryPolicy& policy,
                       Exchange& exchange) {
  curl_slist* headers = nullptr;
  for (const auto& header : request.headers) headers = curl_slist_append(headers, header.c_str());
  if (request.from > 0 && !request.if_range.empty())
    headers = curl_slist_append(headers, ("If-Range: " + request.if_range).c_str());

  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "xiaohu/" XH_HUB_VERSION);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  // What began encrypted stays so.
  const bool tls = lower_case(request.url.substr(0, 6)) == "https:";
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(policy.connect_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(policy.stall_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
  if (!request.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, request.ca_file.c_str());
  if (!request.bearer.empty()) {
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, request.bearer.c_str());
  }
  if (request.from > 0)
    curl_easy_setopt(curl, CURLOPT_RANGE, fmt::format("{}-", request.from).c_str());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, header_callback);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_callback);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress_callback);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  return HeaderList(headers);
}

void judge_transport(CURLcode code, const HttpRequest& request, HttpOutcome& out) {
  const std::string where = printable_url(request.url);
  const std::string what = curl_easy_strerror(code);
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      out.error = Error{ErrorCode::kCancelled, "stopped", where,
                        "The same command goes on where this one stopped."};
      return;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      out.error = Error{ErrorCode::kInvalidArgument, "is not an http or https address", where,
                        "Check the address of the mirror."};
      return;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      out.error = Error{
          ErrorCode::kIo, "cannot trust the server's certificate: " + what, where,
          "Behind a company proxy, name its certificates with SSL_CERT_FILE=/path/to/ca.pem."};
      return;
    case CURLE_TOO_MANY_REDIRECTS:
      out.error =
          Error{ErrorCode::kIo, "redirects in circles", where, "Check the address of the mirror."};
      return;
    default:
      out.may_retry = true;
      out.error = Error{ErrorCode::kUnavailable, "the network failed: " + what, where,
                        "Check the connection. A proxy is taken from https_proxy, a mirror from "
                        "the variables that "
                        "`xiaohu pull --help` lists."};
  }
}

void judge_status(const HttpRequest& request, HttpOutcome& out) {
  const long status = out.head.status;
  if (status == 200 || status == 206) return;
  const std::string where = printable_url(request.url);
  const std::string said = out.head.hub_message.empty() ? "" : ": " + out.head.hub_message;
  if (status == 401 || status == 403) {
    out.error = Error{ErrorCode::kPermissionDenied,
                      fmt::format("access refused (HTTP {}){}", status, said), where,
                      request.denied_help.empty() ? "It asks for credentials that were not given."
                                                  : request.denied_help};
  } else if (status == 404 || status == 410) {
    out.error =
        Error{ErrorCode::kNotFound, fmt::format("not found (HTTP {}){}", status, said), where,
              request.missing_help.empty() ? "Check the spelling." : request.missing_help};
  } else if (status == 429) {
    out.may_retry = true;
    out.error = Error{ErrorCode::kUnavailable, "asks for fewer requests (HTTP 429)" + said, where,
                      "Wait some minutes, or identify yourself with a token (HF_TOKEN)."};
  } else if (status >= 500 || status == 408) {
    out.may_retry = true;
    out.error = Error{ErrorCode::kUnavailable,
                      fmt::format("the server has trouble (HTTP {}){}", status, said), where,
                      "Try again later, or name a mirror."};
  } else {
    out.error = Error{ErrorCode::kIo, fmt::format("unexpected answer (HTTP {}){}", status, said),
                      where, "Check that the address speaks for the kind of hub it stands for."};
  }
}

}  // namespace

HttpOutcome http_exchange(const HttpRequest& request, const RetryPolicy& policy,
                          const HeadFn& on_head, const BodyFn& on_body, const StoppedFn& stopped) {
  HttpOutcome out;
  const std::unique_ptr<CURL, FreeEasy> curl(start_curl() ? curl_easy_init() : nullptr);
  if (!curl) {
    out.error = Error{ErrorCode::kInternal, "libcurl does not start", "", ""};
    return out;
  }
  Exchange exchange{curl.get(), &on_head, &on_body, &stopped, {}, {}, {}, false};
  const HeaderList headers = set_options(curl.get(), request, policy, exchange);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code == CURLE_OK && !exchange.head_seen) exchange.begin_body();  // an empty body

  out.head = exchange.head;
  out.reached = exchange.head.status != 0;
  if (exchange.error) {
    out.error = exchange.error;
  } else if (code != CURLE_OK) {
    judge_transport(code, request, out);
  } else {
    judge_status(request, out);
  }
  return out;
}

std::chrono::milliseconds retry_wait(const RetryPolicy& policy, int failures,
                                     std::chrono::seconds asked) {
  auto wait = policy.first_wait;
  for (int i = 1; i < failures && wait < policy.longest_wait; ++i) wait *= 2;
  return std::min(std::max<std::chrono::milliseconds>(wait, asked), policy.longest_wait);
}

bool wait_unless_stopped(std::chrono::milliseconds time, const StoppedFn& stopped) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    if (stopped && stopped()) return false;
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0)) return true;
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(left, std::chrono::milliseconds(100)));
  }
}

Result<HttpText> http_get(const HttpRequest& request, const RetryPolicy& policy, size_t max_bytes,
                          const StoppedFn& stopped) {
  for (int failures = 1;; ++failures) {
    std::string body;
    const auto begin = [&](const HttpHead&) -> Result<void> {
      body.clear();
      return {};
    };
    const auto take = [&](std::span<const std::byte> bytes) -> Result<void> {
      if (body.size() + bytes.size() > max_bytes)
        return fail(ErrorCode::kTooLarge,
                    fmt::format("the answer is longer than {} bytes", max_bytes),
                    printable_url(request.url));
      body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return {};
    };
    HttpOutcome outcome = http_exchange(request, policy, begin, take, stopped);
    if (!outcome.error) return HttpText{std::move(outcome.head), std::move(body)};
    const int limit = outcome.reached ? policy.attempts : policy.attempts_unreached;
    if (!outcome.may_retry || failures >= limit ||
        !wait_unless_stopped(retry_wait(policy, failures, outcome.head.retry_after), stopped))
      return std::unexpected(std::move(*outcome.error));
  }
}

}  // namespace xh::hub
