#include "text/bpe_merge.h"

#include <gtest/gtest.h>

#include <random>

namespace xh {
namespace {

// The definition, step by step: lowest rank first, leftmost of those.
Symbols merge_plainly(const MergeTable& table, Symbols s) {
  for (;;) {
    Merge best;
    size_t at = 0;
    for (size_t i = 0; i + 1 < s.size(); ++i) {
      const Merge m = table.find(s[i], s[i + 1]);
      if (m.rank < best.rank) best = m, at = i;
    }
    if (best.rank == kNoRank) return s;
    s[at] = best.result;
    s.erase(s.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

struct Shape {
  int base;  // symbols to begin with
  int merges;
  bool learned;        // ranks rise with the results, as in a trained vocabulary
  int distinct_ranks;  // 0: each merge has its own
};

MergeTable random_table(const Shape& shape, std::mt19937& rng) {
  MergeTable table;
  for (int i = 0; i < shape.merges; ++i) {
    const int known = shape.base + i;
    const auto pick = [&] { return static_cast<TokenId>(rng() % static_cast<unsigned>(known)); };
    uint32_t rank = static_cast<uint32_t>(shape.learned ? i : shape.merges - i);
    if (shape.distinct_ranks > 0) rank = rng() % static_cast<unsigned>(shape.distinct_ranks);
    const TokenId left = pick(), right = pick();
    table.add(left, right, {rank, known});
  }
  return table;
}

TEST(BpeMerge, EqualsTheDefinitionAtEveryLength) {
  std::mt19937 rng(1);
  const Shape shapes[] = {{2, 12, true, 0},  {3, 40, true, 0}, {3, 40, false, 0},
                          {4, 60, false, 3}, {2, 30, true, 1}, {20, 200, true, 0}};
  // Around the sizes at which the method changes.
  const size_t sizes[] = {0, 1, 2, 3, 8, 31, 32, 33, 100, 511, 512, 513, 700, 1500};
  for (const Shape& shape : shapes) {
    for (int round = 0; round < 6; ++round) {
      const MergeTable table = random_table(shape, rng);
      for (const size_t n : sizes) {
        Symbols symbols(n);
        const bool one_letter = round == 0;
        for (auto& s : symbols)
          s = one_letter ? 0 : static_cast<TokenId>(rng() % static_cast<unsigned>(shape.base));
        auto merged = symbols;
        merge_symbols(table, merged);
        ASSERT_EQ(merged, merge_plainly(table, symbols)) << n << " symbols, round " << round;
      }
    }
  }
}

TEST(BpeMerge, FirstOfTwoMergesForAPairStays) {
  MergeTable table;
  table.add(1, 2, {5, 10});
  table.add(1, 2, {3, 11});
  EXPECT_EQ(table.find(1, 2).result, 10);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.find(2, 1).rank, kNoRank);
}

TEST(BpeMerge, TableGrows) {
  MergeTable table;
  for (TokenId i = 0; i < 5000; ++i) table.add(i, i + 1, {static_cast<uint32_t>(i), i});
  for (TokenId i = 0; i < 5000; ++i) ASSERT_EQ(table.find(i, i + 1).result, i);
  EXPECT_EQ(table.find(5000, 5001).result, -1);
}

}  // namespace
}  // namespace xh
