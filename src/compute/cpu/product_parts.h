// A product in parts that threads take over from each other. Equal shares end at different times
// where cores differ, or share their time with other programs, and everyone waits for the last.
#pragma once

#include <algorithm>
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

// Few tiles wait for weights from memory: passes are short, and each fetches the next one's panels
// evenly, all tiles together. With many tiles activations come from far away in each pass.
constexpr int64_t kFewTiles = 4;
constexpr int64_t kFewRows = 64;  // of a batch
// Calls f(part) for the parts of a share of panels: pass after pass, in it one of many tiles after
// the other; `whole` or with few, all together.
template <class F>
void each_part(Share panels, int64_t pass, int64_t n_tiles, bool whole, F&& f) {
  const int64_t step = whole || n_tiles <= kFewTiles ? n_tiles : 1;
  for (int64_t from = panels.begin; from < panels.end; from += pass) {
    const int64_t to = std::min(from + pass, panels.end);
    for (int64_t tile = 0; tile < n_tiles; tile += step)
      f(Part{.panels = {from, to},
             .next = {to, std::min(to + pass, panels.end)},
             .tiles = {tile, tile + step}});
  }
}

class ProductParts {
 public:
  explicit ProductParts(int32_t n_threads) : n_threads_(n_threads), ranges_(n_threads) {}

  // each(thread, f) calls f(part) for every part of a thread's share, in the order in which it
  // should work. Unless parts are common, threads keep to their shares. While no thread runs any.
  template <class Each>
  void plan(bool common, Each&& each) {
    common_ = common;
    if (!common) return;
    parts_.clear();
    for (int32_t thread = 0; thread < n_threads_; ++thread) {
      const auto begin = static_cast<int64_t>(parts_.size());
      each(thread, [&](const Part& part) { parts_.push_back(part); });
      ranges_.deal(thread, {begin, static_cast<int64_t>(parts_.size())});
    }
  }
  // Each part once, in one of the threads.
  template <class Each, class F>
  void run(int32_t thread, Each&& each, F&& f) {
    if (!common_) return each(thread, f);
    for (int64_t i; (i = ranges_.take(thread)) >= 0;) f(parts_[static_cast<size_t>(i)]);
  }

 private:
  int32_t n_threads_;
  bool common_ = false;
  std::vector<Part> parts_;
  WorkRanges ranges_;
};

}  // namespace xh::cpu
