// Errors as values. Whatever a file, a request or a user can cause is a Result<T>;
// XH_CHECK (check.h) is only for mistakes of our own.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace xh {

// What kind of thing went wrong. serve/ maps these to HTTP statuses in one place.
enum class ErrorCode {
  kInvalidArgument,   // a value the caller gave is out of range or malformed
  kNotFound,          // a named file, model, or tensor does not exist
  kCorrupt,           // bytes that do not follow their format
  kUnsupported,       // well-formed, but something we cannot do
  kTooLarge,          // over a stated limit
  kOutOfMemory,       // over the memory budget
  kIo,                // the operating system refused a read or write
  kUnavailable,       // busy or shutting down: try again later
  kCancelled,         // the caller went away
  kPermissionDenied,  // missing or wrong credentials
  kDeadline,          // ran past its time limit
  kInternal,          // a bug of ours that was contained
};

// One word for logs and JSON, e.g. "corrupt".
const char* error_code_name(ErrorCode code);

// What was wrong, where (file, offset, tensor, field), and what to do about it.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string where;   // may be empty
  std::string remedy;  // may be empty

  // "where: message (remedy)" on one line.
  std::string to_string() const;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string where = {},
                                   std::string remedy = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(where), std::move(remedy)});
}

}  // namespace xh

#define XH_CONCAT_INNER(a, b) a##b
#define XH_CONCAT(a, b) XH_CONCAT_INNER(a, b)

// XH_TRY(auto file, open(path));  — returns the error to our caller, or binds the value.
#define XH_TRY(decl, expr)                                                   \
  auto XH_CONCAT(xh_try_, __LINE__) = (expr);                                \
  if (!XH_CONCAT(xh_try_, __LINE__))                                         \
    return std::unexpected(std::move(XH_CONCAT(xh_try_, __LINE__)).error()); \
  decl = std::move(*XH_CONCAT(xh_try_, __LINE__))

// XH_TRY_VOID(check(header));  — for Result<void>, or to drop the value.
#define XH_TRY_VOID(expr)                                                     \
  do {                                                                        \
    auto xh_try_void = (expr);                                                \
    if (!xh_try_void) return std::unexpected(std::move(xh_try_void).error()); \
  } while (false)
