#include "base/work_ranges.h"

#include "base/check.h"

namespace xh {
namespace {

constexpr uint64_t kFirst = uint64_t{1} << 32;

int64_t begin_of(uint64_t bits) {
  return static_cast<int64_t>(bits >> 32);
}
int64_t end_of(uint64_t bits) {
  return static_cast<int64_t>(bits & (kFirst - 1));
}
int64_t size_of(uint64_t bits) {
  return end_of(bits) - begin_of(bits);
}

}  // namespace

WorkRanges::WorkRanges(int32_t n_threads) : ranges_(static_cast<size_t>(n_threads)) {}

void WorkRanges::deal(int32_t thread, Share items) {
  XH_CHECK(items.begin >= 0 && items.end < int64_t{kFirst});
  ranges_[static_cast<size_t>(thread)].bits.store(
      static_cast<uint64_t>(items.begin) << 32 | static_cast<uint64_t>(items.end),
      std::memory_order_relaxed);
}

void WorkRanges::reset(int64_t n) {
  const auto count = static_cast<int32_t>(ranges_.size());
  for (int32_t i = 0; i < count; ++i) deal(i, share_of(n, i, count));
}

int64_t WorkRanges::take(int32_t thread) {
  auto& own = ranges_[static_cast<size_t>(thread)].bits;
  uint64_t bits = own.load(std::memory_order_relaxed);
  while (size_of(bits) > 0)
    if (own.compare_exchange_weak(bits, bits + kFirst, std::memory_order_relaxed))
      return begin_of(bits);
  for (;;) {
    Range* victim = nullptr;
    uint64_t seen = 0;
    for (Range& range : ranges_) {
      const uint64_t other = range.bits.load(std::memory_order_relaxed);
      if (size_of(other) <= (victim ? size_of(seen) : 0)) continue;
      victim = &range;
      seen = other;
    }
    if (!victim) return -1;
    if (victim->bits.compare_exchange_strong(seen, seen - 1, std::memory_order_relaxed))
      return end_of(seen) - 1;
  }
}

int64_t WorkRanges::next(int32_t thread) const {
  const uint64_t bits = ranges_[static_cast<size_t>(thread)].bits.load(std::memory_order_relaxed);
  return size_of(bits) > 0 ? begin_of(bits) : -1;
}

}  // namespace xh
