#include "compute/cpu/product_parts.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <utility>

namespace xh::cpu {
namespace {

// Every panel meets every tile once, whatever the cut.
TEST(ProductParts, EveryPanelMeetsEveryTileOnce) {
  constexpr int64_t kPanels = 37;
  for (int64_t tiles : {1, 2, 4, 5, 33})
    for (int64_t pass : {1, 8, 100})
      for (bool whole : {false, true}) {
        std::map<std::pair<int64_t, int64_t>, int> met;
        for (const Share share : {Share{0, 11}, Share{11, 11}, Share{11, kPanels}})
          each_part(share, pass, tiles, whole, [&](const Part& part) {
            EXPECT_LE(part.panels.size(), pass);
            EXPECT_EQ(part.next.begin, part.panels.end);
            EXPECT_LE(part.next.end, share.end);
            for (int64_t p = part.panels.begin; p < part.panels.end; ++p)
              for (int64_t t = part.tiles.begin; t < part.tiles.end; ++t) ++met[{p, t}];
          });
        EXPECT_EQ(met.size(), static_cast<size_t>(kPanels * tiles));
        for (const auto& [at, times] : met) EXPECT_EQ(times, 1);
      }
}

TEST(ProductParts, ThreadsRunAllPartsWhoeverIsLate) {
  ThreadPool pool(3);
  ProductParts parts(pool.size());
  for (int round = 0; round < 50; ++round) {
    const auto each = [](int32_t thread, auto&& f) {
      for (int64_t i = 0; i < 5; ++i)
        f(Part{.matrix = 7, .panels = {thread * 5 + i, thread * 5 + i + 1}});
    };
    const bool common = round % 2 == 0;
    parts.plan(common, each);
    std::atomic<int> ran[15] = {};
    pool.run([&](int32_t thread) {
      if (common && thread == round % 3) return;  // one never comes
      parts.run(thread, each, [&](const Part& part) {
        EXPECT_EQ(part.matrix, 7);
        ++ran[part.panels.begin];
      });
    });
    for (const auto& times : ran) EXPECT_EQ(times, 1);
  }
}

}  // namespace
}  // namespace xh::cpu
