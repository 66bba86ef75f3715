// Records of blocks: scales and quants of a panel lie apart, on whole lines, and fill it.
#include "compute/cpu/kernels/packed_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace xh::cpu {
namespace {

// How often each byte of a panel of n blocks is used.
std::vector<int> uses_of(PackFormat format, int64_t n) {
  std::vector<int> uses(static_cast<size_t>(panel_bytes(format, n)));
  auto use = [&](int64_t at, int64_t bytes) {
    ASSERT_LE(at + bytes, static_cast<int64_t>(uses.size()));
    for (int64_t i = at; i < at + bytes; ++i) ++uses[static_cast<size_t>(i)];
  };
  for (int64_t b = 0; b < n; ++b) {
    EXPECT_EQ(quants_at(format, b) % 64, 0);
    use(quants_at(format, b), quant_bytes(format.quants));
    if (b % blocks_per_scale(format.scales) == 0) {
      use(scales_at(format, b), scale_bytes(format.scales));
    } else {
      EXPECT_EQ(scales_at(format, b), scales_at(format, b - 1));
    }
  }
  return uses;
}

TEST(PackedLayout, RecordsFillAPanel) {
  for (int type = 0; type < kNumTypes; ++type) {
    const PackFormat format = pack_format(static_cast<DType>(type));
    if (format.quants == Quants::kNone) continue;
    SCOPED_TRACE(type);
    const int64_t every = blocks_per_scale(format.scales),
                  record = blocks_per_record(format.scales);
    for (int64_t n = every; n <= 24; n += every) {
      const auto uses = uses_of(format, n);
      EXPECT_EQ(std::ranges::max(uses), 1);
      // Scales are filled up to whole lines, and a last record has room for all its blocks' scales.
      EXPECT_LT(std::ranges::count(uses, 0), 64 * ((n + record - 1) / record));
      if (n % record == 0) {
        EXPECT_EQ(n * block_bytes(format), panel_bytes(format, n));
      }
    }
  }
}

}  // namespace
}  // namespace xh::cpu
