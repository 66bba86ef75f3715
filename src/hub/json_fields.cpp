#include "hub/json_fields.h"

namespace xh::hub {

namespace json = boost::json;

Result<json::value> parse_json(std::string_view text, const std::string& where) {
  json::parse_options options;
  options.max_depth = 32;
  boost::system::error_code code;
  json::value value = json::parse(json::string_view(text.data(), text.size()), code, {}, options);
  if (code)
    return fail(ErrorCode::kCorrupt, "is not the JSON that was expected: " + code.message(), where);
  return value;
}

Result<json::object> parse_json_object(std::string_view text, const std::string& where) {
  XH_TRY(json::value value, parse_json(text, where));
  if (!value.is_object()) return fail(ErrorCode::kCorrupt, "is JSON, but no object", where);
  return std::move(value.as_object());
}

std::string string_field(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(json::string_view(key.data(), key.size()));
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

uint64_t size_field(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(json::string_view(key.data(), key.size()));
  if (value == nullptr) return 0;
  if (value->is_uint64()) return value->as_uint64();
  return value->is_int64() && value->as_int64() > 0 ? static_cast<uint64_t>(value->as_int64()) : 0;
}

const json::array* array_field(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(json::string_view(key.data(), key.size()));
  return value == nullptr ? nullptr : value->if_array();
}

const json::object* object_field(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(json::string_view(key.data(), key.size()));
  return value == nullptr ? nullptr : value->if_object();
}

}  // namespace xh::hub
