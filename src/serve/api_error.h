// Errors as clients see them: an HTTP status and a body of OpenAI's shape.
#pragma once

#include <boost/json.hpp>
#include <expected>
#include <string>

#include "base/result.h"
#include "serve/http.h"

namespace xh::serve {

// The one place where kinds of errors become statuses.
int http_status(ErrorCode code);

struct ApiError {
  int status = 500;
  std::string message;
  std::string param;    // the field at fault; may be empty
  std::string code;     // a stable word for programs; may be empty
  int retry_after = 0;  // seconds; 0: no Retry-After header
  std::string allow;    // methods that would do, with 405

  ApiError() = default;
  ApiError(int status, std::string message, std::string param = {}, std::string code = {})
      : status(status),
        message(std::move(message)),
        param(std::move(param)),
        code(std::move(code)) {}
  ApiError(const Error& error);  // NOLINT: every Error is an ApiError
};

template <class T>
using ApiResult = std::expected<T, ApiError>;

inline std::unexpected<ApiError> refuse(int status, std::string message, std::string param = {},
                                        std::string code = {}) {
  return std::unexpected(ApiError(status, std::move(message), std::move(param), std::move(code)));
}

// {"error": {"message", "type", "param", "code"}}
boost::json::object error_body(const ApiError& error);
HttpResponse error_response(const ApiError& error);

const char* reason_phrase(int status);

}  // namespace xh::serve
