#include "serve/api_error.h"

namespace xh::serve {
namespace {

const char* error_type(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

}  // namespace

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return 400;
    case ErrorCode::kNotFound: return 404;
    case ErrorCode::kCorrupt: return 400;
    case ErrorCode::kUnsupported: return 400;
    case ErrorCode::kTooLarge: return 413;
    case ErrorCode::kOutOfMemory: return 503;
    case ErrorCode::kIo: return 500;
    case ErrorCode::kUnavailable: return 503;
    case ErrorCode::kCancelled: return 503;
    case ErrorCode::kPermissionDenied: return 403;
    case ErrorCode::kDeadline: return 504;
    case ErrorCode::kInternal: return 500;
  }
  return 500;
}

ApiError::ApiError(const Error& error)
    : status(http_status(error.code)),
      message(error.message),
      param(error.where),
      code(error_code_name(error.code)) {
  if (!error.remedy.empty()) message += " (" + error.remedy + ")";
  if (status == 503) retry_after = 1;
}

boost::json::object error_body(const ApiError& error) {
  boost::json::object inner;
  inner["message"] = error.message;
  inner["type"] = error_type(error.status);
  inner["param"] =
      error.param.empty() ? boost::json::value(nullptr) : boost::json::value(error.param);
  inner["code"] = error.code.empty() ? boost::json::value(nullptr) : boost::json::value(error.code);
  return {{"error", std::move(inner)}};
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response;
  response.status = error.status;
  response.body = boost::json::serialize(error_body(error));
  if (!error.allow.empty()) response.headers.emplace_back("Allow", error.allow);
  if (error.retry_after > 0) {
    response.headers.emplace_back("Retry-After", std::to_string(error.retry_after));
  }
  return response;
}

const char* reason_phrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
  }
  return "Error";
}

}  // namespace xh::serve
