#include "compute/cpu/attention_reads.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace xh::cpu {
namespace {

int64_t three_together(int64_t, int64_t left) {
  return std::min<int64_t>(left, 3);
}

std::vector<const uint8_t*> lines_of(const std::vector<Ahead::Run>& runs) {
  std::vector<const uint8_t*> lines;
  for (const auto& run : runs)
    for (const uint8_t* at = run.begin; at < run.end; at += 64) lines.push_back(at);
  return lines;
}

class Reads : public testing::Test {
 protected:
  void SetUp() override {
    KvLayout layout;
    layout.layers = {{.n_kv_heads = 1, .k_dim = 64, .v_dim = 64, .n_query_heads = 2}};
    kv_ = KvPages::make(layout, 3).value();
    for (PageId page : {2, 0})
      pages_.push_back(reinterpret_cast<const uint8_t*>(kv_->at(0, page, 0)));
    kernels_.weigh_columns = 4;
    kernels_.panels_together = three_together;
  }
  std::vector<Ahead::Run> reads(int64_t from, int64_t to) {
    std::vector<Ahead::Run> runs;
    add_reads(pages_, kv_->head(0), kernels_, 2, from, to, runs);
    return runs;
  }

  std::unique_ptr<KvPages> kv_;
  std::vector<const uint8_t*> pages_;
  AttentionKernels kernels_{};
};

TEST_F(Reads, EachLineOnceKeysFirst) {
  auto lines = lines_of(reads(0, INT64_MAX));
  const auto& head = kv_->head(0);
  EXPECT_EQ(lines[0], pages_[0]);
  EXPECT_EQ(lines[static_cast<size_t>(head.v_offset) / 64 + 2], pages_[1]);
  // four panels of values: three of both pages, then one
  const uint8_t* last = pages_[1] + head.v_offset + 4 * head.v_panel_bytes - 64;
  EXPECT_EQ(lines.back(), last);
  EXPECT_EQ(lines[lines.size() - 9], pages_[0] + (last - pages_[1]));
  std::ranges::sort(lines);
  std::vector<const uint8_t*> all;
  for (const uint8_t* page : {pages_[1], pages_[0]})
    for (int64_t i = 0; i < head.bytes; i += 64) all.push_back(page + i);
  EXPECT_EQ(lines, all);
}

TEST_F(Reads, PartsAreTheWhole) {
  const auto whole = lines_of(reads(0, INT64_MAX));
  for (int64_t cut : {0, 64, 2048, 6144, 1 << 20}) {
    auto parts = lines_of(reads(0, cut));
    EXPECT_EQ(parts.size(), std::min<size_t>(static_cast<size_t>(cut) / 64, whole.size()));
    const auto rest = lines_of(reads(cut, INT64_MAX));
    parts.insert(parts.end(), rest.begin(), rest.end());
    EXPECT_EQ(parts, whole);
  }
}

}  // namespace
}  // namespace xh::cpu
