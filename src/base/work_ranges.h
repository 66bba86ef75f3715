// Items 0 … n - 1 dealt out to threads. Each takes a contiguous range of its own from the front, so
// that it knows its next item in time; then it helps others, from the back of theirs.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"

namespace xh {

class WorkRanges {
 public:
  explicit WorkRanges(int32_t n_threads);
  // 0 <= n < 2^32, in equal ranges. While no thread takes any.
  void reset(int64_t n);
  // One thread's range; those of all threads are apart.
  void deal(int32_t thread, Share items);
  // Each item once, to one thread; -1 when none is left.
  int64_t take(int32_t thread);
  // What the thread takes next, if nobody else does first; -1: none of its own.
  int64_t next(int32_t thread) const;

 private:
  struct alignas(64) Range {
    std::atomic<uint64_t> bits{0};  // begin in the upper half, end in the lower
  };
  std::vector<Range> ranges_;
};

}  // namespace xh
