// Key → value facts of a model file (GGUF metadata, or config.json mapped to the same keys).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace xh {

// Arrays keep one element type each; integers of every width widen to 64 bits.
using MetaValue = std::variant<bool, uint64_t, int64_t, double, std::string, std::vector<bool>,
                               std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>>;

// Immutable after loading. A getter with no default fails with kNotFound naming the key; a value
// of another type, or out of range, fails with kCorrupt naming key and types. Signed and unsigned
// integers convert into each other when the value fits; integers convert to double.
class Metadata {
 public:
  bool has(std::string_view key) const;
  const MetaValue* find(std::string_view key) const;

  Result<int64_t> get_int(std::string_view key) const;
  Result<double> get_float(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string> get_string(std::string_view key) const;
  Result<int64_t> get_int_or(std::string_view key, int64_t fallback) const;
  Result<double> get_float_or(std::string_view key, double fallback) const;
  Result<bool> get_bool_or(std::string_view key, bool fallback) const;
  Result<std::string> get_string_or(std::string_view key, std::string fallback) const;

  // Array views; nullptr when absent or of another element type.
  const std::vector<std::string>* strings(std::string_view key) const;
  // Numeric arrays of any width as doubles or integers; empty when absent, of another kind, or when
  // an element does not fit.
  std::vector<double> floats(std::string_view key) const;
  std::vector<int64_t> ints(std::string_view key) const;

  void set(std::string key, MetaValue value) { values_[std::move(key)] = std::move(value); }
  const std::map<std::string, MetaValue, std::less<>>& values() const { return values_; }

 private:
  std::map<std::string, MetaValue, std::less<>> values_;
};

}  // namespace xh
