// A product in parts that threads take over from each other. Equal shares end at different times
// where cores differ, or share their time with other programs, and everyone waits for the last.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "base/work_ranges.h"

namespace xh::cpu {

// Some panels of a matrix times some tiles. next: panels that follow, to be fetched meanwhile.
struct Part {
  int32_t matrix = 0;  // which of those that are multiplied together
  Share panels, next, tiles;
};

class ProductParts {
 public:
  explicit ProductParts(int32_t n_threads) : n_threads_(n_threads), ranges_(n_threads) {}

  // each(thread, f) calls f(part) for every part of a thread's share, in the order in which it
  // should work. While no thread runs any.
  template <class Each>
  void plan(Each&& each) {
    parts_.clear();
    for (int32_t thread = 0; thread < n_threads_; ++thread) {
      const auto begin = static_cast<int64_t>(parts_.size());
      each(thread, [&](const Part& part) { parts_.push_back(part); });
      ranges_.deal(thread, {begin, static_cast<int64_t>(parts_.size())});
    }
  }
  // Each part once, in one of the threads.
  template <class F>
  void run(int32_t thread, F&& f) {
    for (int64_t i; (i = ranges_.take(thread)) >= 0;) f(parts_[static_cast<size_t>(i)]);
  }

 private:
  int32_t n_threads_;
  std::vector<Part> parts_;
  WorkRanges ranges_;
};

}  // namespace xh::cpu
