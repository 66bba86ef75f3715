// Reads a JSON object field by field against stated ranges. The first problem is kept and names
// the field; later reads give their fallback. finish() refuses what nobody asked for.
#pragma once

#include <boost/json.hpp>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"

namespace xh::serve {

class Fields {
 public:
  // `path` is put before names in messages: "messages[2]".
  explicit Fields(const boost::json::object& object, std::string path = {});

  // Absent and null both give the fallback.
  double number(std::string_view name, double low, double high, double fallback);
  int64_t integer(std::string_view name, int64_t low, int64_t high, int64_t fallback);
  bool boolean(std::string_view name, bool fallback);
  std::string text(std::string_view name, size_t max_bytes, std::string fallback = {});
  std::optional<int64_t> maybe_integer(std::string_view name, int64_t low, int64_t high);

  // Marks the field as known; nullptr when absent or null.
  const boost::json::value* value(std::string_view name);
  const boost::json::object* object(std::string_view name);
  const boost::json::array* array(std::string_view name, size_t max_items);

  // Known and harmless: their values change nothing here.
  void ignore(std::initializer_list<std::string_view> names);
  // Known, but only this value, if any, can be had.
  void only(std::string_view name, const boost::json::value& allowed, std::string_view why);

  void fail(std::string_view name, std::string message, std::string code = "invalid_value");
  std::string path_of(std::string_view name) const;
  bool failed() const { return error_.has_value(); }
  ApiResult<void> finish();

 private:
  std::string suggest(std::string_view unknown) const;

  const boost::json::object& object_;
  std::string path_;
  std::vector<std::string_view> known_;
  std::optional<ApiError> error_;
};

const char* kind_name(const boost::json::value& value);  // "a string", for messages

}  // namespace xh::serve
