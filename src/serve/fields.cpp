#include "serve/fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace xh::serve {
namespace json = boost::json;

namespace {

// Levenshtein distance, for short names only.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

// An integer, also when written as 5.0.
std::optional<int64_t> as_integer(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64() && value.get_uint64() <= uint64_t(INT64_MAX)) {
    return static_cast<int64_t>(value.get_uint64());
  }
  if (value.is_double()) {
    const double d = value.get_double();
    if (d == std::floor(d) && std::abs(d) <= 9007199254740992.0) return static_cast<int64_t>(d);
  }
  return std::nullopt;
}

}  // namespace

const char* kind_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_: return "a number";
    case json::kind::string: return "a string";
    case json::kind::array: return "an array";
    case json::kind::object: return "an object";
  }
  return "something else";
}

Fields::Fields(const json::object& object, std::string path)
    : object_(object), path_(std::move(path)) {}

std::string Fields::path_of(std::string_view name) const {
  if (path_.empty()) return std::string(name);
  if (name.empty()) return path_;
  return path_ + "." + std::string(name);
}

void Fields::fail(std::string_view name, std::string message, std::string code) {
  if (error_) return;
  const std::string path = path_of(name);
  error_ = ApiError(400, fmt::format("'{}' {}", path, message), path, std::move(code));
}

const json::value* Fields::value(std::string_view name) {
  known_.push_back(name);
  const json::value* found = object_.if_contains(name);
  return found && !found->is_null() ? found : nullptr;
}

double Fields::number(std::string_view name, double low, double high, double fallback) {
  const json::value* found = value(name);
  if (!found) return fallback;
  if (!found->is_number()) {
    fail(name, fmt::format("must be a number, but is {}.", kind_name(*found)), "invalid_type");
    return fallback;
  }
  const double number = found->to_number<double>();
  if (!(number >= low && number <= high)) {
    fail(name, fmt::format("must be between {} and {}.", low, high));
    return fallback;
  }
  return number;
}

std::optional<int64_t> Fields::maybe_integer(std::string_view name, int64_t low, int64_t high) {
  const json::value* found = value(name);
  if (!found) return std::nullopt;
  const auto number = as_integer(*found);
  if (!found->is_number()) {
    fail(name, fmt::format("must be a whole number, but is {}.", kind_name(*found)),
         "invalid_type");
    return std::nullopt;
  }
  if (!number || *number < low || *number > high) {
    fail(name, fmt::format("must be a whole number between {} and {}.", low, high));
    return std::nullopt;
  }
  return number;
}

int64_t Fields::integer(std::string_view name, int64_t low, int64_t high, int64_t fallback) {
  return maybe_integer(name, low, high).value_or(fallback);
}

bool Fields::boolean(std::string_view name, bool fallback) {
  const json::value* found = value(name);
  if (!found) return fallback;
  if (found->is_bool()) return found->get_bool();
  fail(name, fmt::format("must be true or false, but is {}.", kind_name(*found)), "invalid_type");
  return fallback;
}

std::string Fields::text(std::string_view name, size_t max_bytes, std::string fallback) {
  const json::value* found = value(name);
  if (!found) return fallback;
  const auto* text = found->if_string();
  if (!text) {
    fail(name, fmt::format("must be a string, but is {}.", kind_name(*found)), "invalid_type");
    return fallback;
  }
  if (text->size() > max_bytes) {
    fail(name, fmt::format("must not be longer than {} bytes.", max_bytes));
    return fallback;
  }
  return std::string(*text);
}

const json::object* Fields::object(std::string_view name) {
  const json::value* found = value(name);
  if (!found) return nullptr;
  if (found->is_object()) return &found->get_object();
  fail(name, fmt::format("must be an object, but is {}.", kind_name(*found)), "invalid_type");
  return nullptr;
}

const json::array* Fields::array(std::string_view name, size_t max_items) {
  const json::value* found = value(name);
  if (!found) return nullptr;
  if (!found->is_array()) {
    fail(name, fmt::format("must be an array, but is {}.", kind_name(*found)), "invalid_type");
    return nullptr;
  }
  if (found->get_array().size() > max_items) {
    fail(name, fmt::format("must not have more than {} items.", max_items));
    return nullptr;
  }
  return &found->get_array();
}

void Fields::ignore(std::initializer_list<std::string_view> names) {
  known_.insert(known_.end(), names.begin(), names.end());
}

void Fields::only(std::string_view name, const json::value& allowed, std::string_view why) {
  const json::value* found = value(name);
  if (found && *found != allowed) fail(name, std::string(why), "unsupported_value");
}

std::string Fields::suggest(std::string_view unknown) const {
  if (unknown.size() > 40) return {};
  std::string_view best;
  size_t best_distance = 3;
  for (std::string_view name : known_) {
    const size_t distance = edit_distance(unknown, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best.empty() ? std::string() : fmt::format(" Did you mean '{}'?", best);
}

ApiResult<void> Fields::finish() {
  if (!error_) {
    std::sort(known_.begin(), known_.end());
    for (const auto& entry : object_) {
      const std::string_view key(entry.key().data(), entry.key().size());
      if (std::binary_search(known_.begin(), known_.end(), key)) continue;
      fail(key.substr(0, 100), "is not a field of this request." + suggest(key),
           "unknown_parameter");
      break;
    }
  }
  if (error_) return std::unexpected(*error_);
  return {};
}

}  // namespace xh::serve
