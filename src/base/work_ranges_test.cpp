#include "base/work_ranges.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace xh {
namespace {

TEST(WorkRanges, AThreadTakesItsOwnInOrderAndThenHelpsFromTheBack) {
  WorkRanges work(2);
  work.reset(5);  // 0 1 and 2 3 4
  EXPECT_EQ(work.next(0), 0);
  EXPECT_EQ(work.next(1), 2);
  EXPECT_EQ(work.take(0), 0);
  EXPECT_EQ(work.next(0), 1);
  EXPECT_EQ(work.take(0), 1);
  EXPECT_EQ(work.next(0), -1);
  EXPECT_EQ(work.take(0), 4);
  EXPECT_EQ(work.next(1), 2);
  EXPECT_EQ(work.take(1), 2);
  EXPECT_EQ(work.take(0), 3);
  EXPECT_EQ(work.take(0), -1);
  EXPECT_EQ(work.next(1), -1);
  EXPECT_EQ(work.take(1), -1);
  work.reset(0);
  EXPECT_EQ(work.take(0), -1);
}

TEST(WorkRanges, DealsUnequalRanges) {
  WorkRanges work(2);
  work.deal(0, {0, 1});
  work.deal(1, {1, 4});
  EXPECT_EQ(work.take(0), 0);
  EXPECT_EQ(work.take(0), 3);
  EXPECT_EQ(work.take(1), 1);
  EXPECT_EQ(work.take(1), 2);
  EXPECT_EQ(work.take(1), -1);
}

TEST(WorkRanges, HelpsWhoHasMostLeft) {
  WorkRanges work(3);
  work.reset(6);
  EXPECT_EQ(work.take(1), 2);
  EXPECT_EQ(work.take(0), 0);
  EXPECT_EQ(work.take(0), 1);
  EXPECT_EQ(work.take(0), 5);
}

TEST(WorkRanges, EveryItemGoesToOneThread) {
  constexpr int kThreads = 4;
  constexpr int64_t kItems = 100'003;
  WorkRanges work(kThreads);
  for (int round = 0; round < 3; ++round) {
    work.reset(kItems);
    std::vector<int> taken[kThreads];
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        if (t == 0) return;  // its range is left to the others
        for (int64_t i; (i = work.take(t)) >= 0;) taken[t].push_back(static_cast<int>(i));
      });
    for (auto& thread : threads) thread.join();
    std::vector<int> count(kItems);
    for (const auto& list : taken)
      for (const int i : list) ++count[static_cast<size_t>(i)];
    EXPECT_EQ(std::ranges::count(count, 1), kItems);
  }
}

}  // namespace
}  // namespace xh
