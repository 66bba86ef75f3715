#include "serve/response_head.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>

#include "serve/api_error.h"

namespace xh::serve {
namespace {

std::string date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                     parts.tm_sec);
}

void add(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  // A header's value never holds a line break, whatever it was made of.
  for (char c : value) out += (c == '\r' || c == '\n' || c == '\0') ? ' ' : c;
  out += "\r\n";
}

std::string begin(int status, const ReplyMeta& meta) {
  std::string out =
      fmt::format("HTTP/1.{} {} {}\r\n", meta.http_minor, status, reason_phrase(status));
  add(out, "Date", date());
  add(out, "Connection", meta.keep_alive ? "keep-alive" : "close");
  add(out, "X-Content-Type-Options", "nosniff");
  add(out, "Referrer-Policy", "no-referrer");
  if (!meta.request_id.empty()) add(out, "x-request-id", meta.request_id);
  if (!meta.allow_origin.empty()) {
    add(out, "Access-Control-Allow-Origin", meta.allow_origin);
    add(out, "Access-Control-Expose-Headers", "x-request-id, Retry-After");
    add(out, "Vary", "Origin");
  }
  return out;
}

bool has(const HttpResponse& response, std::string_view name) {
  return std::any_of(response.headers.begin(), response.headers.end(),
                     [&](const auto& header) { return header.first == name; });
}

}  // namespace

std::string write_response(const HttpResponse& response, const ReplyMeta& meta) {
  std::string out = begin(response.status, meta);
  if (!response.content_type.empty()) add(out, "Content-Type", response.content_type);
  // Answers are private; only the page's files say otherwise.
  if (!has(response, "Cache-Control")) add(out, "Cache-Control", "no-store");
  if (!has(response, "Content-Security-Policy")) {
    add(out, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  }
  for (const auto& [name, value] : response.headers) add(out, name, value);
  const bool no_body = response.status == 304 || response.status == 204;
  if (!no_body) add(out, "Content-Length", std::to_string(response.body.size()));
  out += "\r\n";
  if (!meta.is_head && !no_body) out += response.body;
  return out;
}

std::string write_stream_head(const ReplyMeta& meta) {
  std::string out = begin(200, meta);
  add(out, "Content-Type", "text/event-stream; charset=utf-8");
  add(out, "Cache-Control", "no-store");
  add(out, "X-Accel-Buffering", "no");  // asks nginx not to hold events back
  if (meta.http_minor > 0) add(out, "Transfer-Encoding", "chunked");
  return out + "\r\n";
}

std::string write_chunk(std::string_view bytes, const ReplyMeta& meta) {
  if (bytes.empty() || meta.http_minor == 0) return std::string(bytes);
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

std::string write_last_chunk(const ReplyMeta& meta) {
  return meta.http_minor == 0 ? "" : "0\r\n\r\n";
}

}  // namespace xh::serve
