#include "engine/page_warmer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace xh {
namespace {

constexpr int32_t kParts = 2;

class CountingStore final : public KvStore {
 public:
  explicit CountingStore(int32_t n_pages) : n_pages_(n_pages) {}
  int32_t n_pages() const override { return n_pages_; }
  uint64_t page_bytes() const override { return 1; }
  void copy_page(PageId, PageId, int32_t) override {}
  std::span<std::byte> page_part(PageId, int32_t) override { return {}; }
  int32_t parts_of_page() const override { return kParts; }
  void prepare(PageId page, int32_t part) override {
    std::lock_guard lock(mutex_);
    prepared.push_back(page * kParts + part);
  }

  std::vector<int32_t> prepared;

 private:
  int32_t n_pages_;
  std::mutex mutex_;
};

std::vector<int32_t> parts_below(int32_t page) {
  std::vector<int32_t> all;
  for (int32_t i = 0; i < page * kParts; ++i) all.push_back(i);
  return all;
}

constexpr double kLong = 60'000;  // ms

TEST(PageWarmer, StaysAheadAndReadiesEachPartOnce) {
  CountingStore kv(10);
  PageWarmer warmer(kv, 4);
  EXPECT_TRUE(warmer.urgent());
  warmer.work(kLong);
  EXPECT_EQ(kv.prepared, parts_below(4));
  EXPECT_FALSE(warmer.behind());
  warmer.used(2);
  EXPECT_TRUE(warmer.behind());
  EXPECT_FALSE(warmer.urgent());
  warmer.used(3);
  EXPECT_FALSE(warmer.urgent());  // a quarter of four is ready
  warmer.used(4);
  EXPECT_TRUE(warmer.urgent());
  warmer.work(kLong);
  warmer.used(2);  // fewer are nothing new
  EXPECT_FALSE(warmer.behind());
  warmer.used(9);
  warmer.work(kLong);
  warmer.used(10);
  EXPECT_FALSE(warmer.behind());
  EXPECT_EQ(kv.prepared, parts_below(10));
}

TEST(PageWarmer, EndsWhenItsTimeIsOverThoughMuchIsLeft) {
  CountingStore kv(1 << 30);
  PageWarmer warmer(kv, 1 << 30);
  warmer.work(0);
  EXPECT_EQ(kv.prepared.size(), 1u);
  EXPECT_TRUE(warmer.urgent());
}

TEST(PageWarmer, ThreadsShareTheWork) {
  CountingStore kv(500);
  PageWarmer warmer(kv, 500);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { warmer.work(kLong); });
  for (auto& t : threads) t.join();
  std::ranges::sort(kv.prepared);
  EXPECT_EQ(kv.prepared, parts_below(500));
}

}  // namespace
}  // namespace xh
