// Counter-based random numbers: a pure function of (seed, counter), so a draw depends on nothing
// that happened before it or runs beside it.
#pragma once

#include <cstdint>

namespace xh {

// SplitMix64's finaliser (Steele, Lea, Flood 2014): every input bit reaches every output bit.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

constexpr uint64_t random_u64(uint64_t seed, uint64_t counter) {
  return mix64(mix64(seed) ^ mix64(counter + 0x632be59bd9b4e019ull));
}

// Uniform in [0, 1) with 53 bits.
constexpr double random_unit(uint64_t seed, uint64_t counter) {
  return static_cast<double>(random_u64(seed, counter) >> 11) * 0x1.0p-53;
}

}  // namespace xh
