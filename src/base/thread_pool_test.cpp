#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace xh {
namespace {

TEST(ThreadPool, RunsEveryThreadOnce) {
  for (int32_t n : {1, 2, 3, 7}) {
    ThreadPool pool(n);
    std::vector<int> calls(static_cast<size_t>(n));
    for (int round = 0; round < 200; ++round) {
      pool.run([&](int32_t thread) { ++calls[static_cast<size_t>(thread)]; });
      if (round == 100)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));  // workers sleep
    }
    for (int count : calls) EXPECT_EQ(count, 200);
  }
}

TEST(ThreadPool, BarrierMakesWritesVisible) {
  ThreadPool pool(4);
  std::vector<int> cell(4);
  std::vector<int> bad(4);
  for (int round = 1; round <= 100; ++round) {
    pool.run([&](int32_t thread) {
      for (int phase = 0; phase < 3; ++phase) {
        cell[static_cast<size_t>(thread)] = round * 3 + phase;
        pool.barrier();
        if (cell[static_cast<size_t>((thread + 1) % 4)] != round * 3 + phase)
          ++bad[static_cast<size_t>(thread)];
        pool.barrier();
      }
    });
  }
  EXPECT_EQ(bad, std::vector<int>(4));
}

TEST(ThreadPool, SharesCoverAllItems) {
  for (int64_t n : {0, 1, 5, 64}) {
    int64_t next = 0;
    for (int32_t i = 0; i < 3; ++i) {
      Share share = share_of(n, i, 3);
      EXPECT_EQ(share.begin, next);
      next = share.end;
    }
    EXPECT_EQ(next, n);
  }
}

TEST(ThreadPool, CountsCores) {
  EXPECT_GE(usable_physical_cores(), 1);
}

}  // namespace
}  // namespace xh
