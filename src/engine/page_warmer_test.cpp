#include "engine/page_warmer.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

namespace xh {
namespace {

class CountingStore final : public KvStore {
 public:
  explicit CountingStore(int32_t n_pages) : n_pages_(n_pages) {}
  int32_t n_pages() const override { return n_pages_; }
  uint64_t page_bytes() const override { return 1; }
  void copy_page(PageId, PageId, int32_t) override {}
  void read_page(PageId, std::span<std::byte>) const override {}
  void write_page(PageId, std::span<const std::byte>) override {}
  void prepare(PageId page) override {
    std::lock_guard lock(mutex_);
    prepared_.push_back(page);
    changed_.notify_all();
  }
  std::vector<PageId> wait_for(size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return prepared_.size() >= n; });
    return prepared_;
  }

 private:
  int32_t n_pages_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PageId> prepared_;
};

TEST(PageWarmer, StaysAheadAndReadiesEachPageOnce) {
  CountingStore kv(10);
  {
    PageWarmer warmer(kv, 4);
    EXPECT_EQ(kv.wait_for(4), (std::vector<PageId>{0, 1, 2, 3}));
    warmer.used(3);
    kv.wait_for(7);
    warmer.used(2);  // fewer are nothing new
    warmer.used(9);
    kv.wait_for(10);
    warmer.used(10);
  }
  EXPECT_EQ(kv.wait_for(10), (std::vector<PageId>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(PageWarmer, EndsThoughMuchIsLeft) {
  CountingStore kv(1 << 30);
  PageWarmer warmer(kv, 1 << 30);
  kv.wait_for(1);
}

}  // namespace
}  // namespace xh
