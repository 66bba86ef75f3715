// Which pages hold which positions, and which of them a row sees.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "compute/kv_store.h"

namespace xh {

constexpr size_t page_start(int32_t page) {
  return static_cast<size_t>(page) * kPageTokens;
}

constexpr int32_t pages_for(int32_t n_tokens) {
  return (n_tokens + kPageTokens - 1) / kPageTokens;
}

// `window` is a model's: positions that a row sees, itself included; 0: all.

// The first page that rows at `pos` and later see.
constexpr int32_t first_seen_page(int32_t pos, int32_t window) {
  return window == 0 || pos < window ? 0 : (pos + 1 - window) / kPageTokens;
}

// The most pages that a sequence holds on its way to n_tokens, with so many rows in a step.
constexpr int32_t pages_held(int32_t n_tokens, int32_t window, int32_t rows) {
  const int32_t all = pages_for(n_tokens);
  if (window == 0 || window >= n_tokens) return all;
  return std::min(all, pages_for(window + rows) + 1);
}

}  // namespace xh
