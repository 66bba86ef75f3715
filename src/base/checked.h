// Integer arithmetic that cannot wrap: every size computed from untrusted bytes goes through here.
#pragma once

#include <cstdint>
#include <optional>

namespace xh {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

// Rounds up to a multiple of `alignment` (at least 1).
inline std::optional<uint64_t> checked_align(uint64_t value, uint64_t alignment) {
  auto padded = checked_add(value, alignment - 1);
  if (!padded) return std::nullopt;
  return *padded / alignment * alignment;
}

}  // namespace xh
