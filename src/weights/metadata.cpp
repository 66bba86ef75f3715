#include "weights/metadata.h"

#include "base/quote.h"

namespace xh {
namespace {

const char* type_name(const MetaValue& value) {
  static constexpr const char* kNames[] = {"a boolean",
                                           "an unsigned integer",
                                           "a signed integer",
                                           "a float",
                                           "a string",
                                           "an array of booleans",
                                           "an array of unsigned integers",
                                           "an array of integers",
                                           "an array of floats",
                                           "an array of strings"};
  return kNames[value.index()];
}

std::unexpected<Error> missing(std::string_view key) {
  return fail(ErrorCode::kNotFound, "the model has no metadata key " + quote_name(key), {},
              "the file may be incomplete or made for another program");
}

std::unexpected<Error> mismatch(std::string_view key, const char* wanted, const MetaValue& value) {
  return fail(ErrorCode::kCorrupt, "metadata key " + quote_name(key) + " should be " + wanted +
                                       ", but holds " + type_name(value));
}

}  // namespace

bool Metadata::has(std::string_view key) const {
  return values_.contains(key);
}

const MetaValue* Metadata::find(std::string_view key) const {
  auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

Result<int64_t> Metadata::get_int(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return missing(key);
  if (auto* i = std::get_if<int64_t>(value)) return *i;
  auto* u = std::get_if<uint64_t>(value);
  if (u == nullptr) return mismatch(key, "an integer", *value);
  if (*u > static_cast<uint64_t>(INT64_MAX)) {
    return fail(ErrorCode::kCorrupt, "metadata key " + quote_name(key) + ": " + std::to_string(*u) +
                                         " is too large for a signed 64-bit integer");
  }
  return static_cast<int64_t>(*u);
}

Result<double> Metadata::get_float(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return missing(key);
  if (auto* d = std::get_if<double>(value)) return *d;
  if (auto* i = std::get_if<int64_t>(value)) return static_cast<double>(*i);
  if (auto* u = std::get_if<uint64_t>(value)) return static_cast<double>(*u);
  return mismatch(key, "a number", *value);
}

Result<bool> Metadata::get_bool(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return missing(key);
  if (auto* b = std::get_if<bool>(value)) return *b;
  return mismatch(key, "a boolean", *value);
}

Result<std::string> Metadata::get_string(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return missing(key);
  if (auto* s = std::get_if<std::string>(value)) return *s;
  return mismatch(key, "a string", *value);
}

Result<int64_t> Metadata::get_int_or(std::string_view key, int64_t fallback) const {
  return has(key) ? get_int(key) : fallback;
}

Result<double> Metadata::get_float_or(std::string_view key, double fallback) const {
  return has(key) ? get_float(key) : fallback;
}

Result<bool> Metadata::get_bool_or(std::string_view key, bool fallback) const {
  return has(key) ? get_bool(key) : fallback;
}

Result<std::string> Metadata::get_string_or(std::string_view key, std::string fallback) const {
  if (!has(key)) return fallback;
  return get_string(key);
}

const std::vector<std::string>* Metadata::strings(std::string_view key) const {
  const MetaValue* value = find(key);
  return value == nullptr ? nullptr : std::get_if<std::vector<std::string>>(value);
}

std::vector<double> Metadata::floats(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return {};
  if (auto* d = std::get_if<std::vector<double>>(value)) return *d;
  if (auto* i = std::get_if<std::vector<int64_t>>(value)) return {i->begin(), i->end()};
  if (auto* u = std::get_if<std::vector<uint64_t>>(value)) return {u->begin(), u->end()};
  return {};
}

std::vector<int64_t> Metadata::ints(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return {};
  if (auto* i = std::get_if<std::vector<int64_t>>(value)) return *i;
  auto* u = std::get_if<std::vector<uint64_t>>(value);
  if (u == nullptr) return {};
  for (uint64_t x : *u)
    if (x > static_cast<uint64_t>(INT64_MAX)) return {};
  return {u->begin(), u->end()};
}

}  // namespace xh
