// Readies the memory of pages before the first sequence uses them. The kernel gives memory where it
// is first written, which may take longer than the tokens that are written: streams that began new
// pages together waited for all of them.
#pragma once

#include <atomic>
#include <cstdint>

#include "compute/kv_store.h"

namespace xh {

// Keeps `ahead` pages ready beyond those that were ever used. It has no thread of its own: the
// kernel's work for a page cannot be interrupted and would hold up a step at any moment. The engine
// lets it work while there is nothing else to do, and for a moment in each step when but a quarter
// of what was ready is left.
class PageWarmer {
 public:
  // `kv` must outlive it.
  PageWarmer(KvStore& kv, int32_t ahead);

  // Pages below `n_pages` have been used. Not beside work().
  void used(int32_t n_pages);
  bool behind() const { return next_ < wanted_; }
  // Whether less than a quarter of what should be ready is.
  bool urgent() const { return next_ < urgent_; }
  // Readies what is next until `ms` have passed, what was begun then included, or nothing is left.
  // Any number of threads at once.
  void work(double ms);

 private:
  KvStore& kv_;
  const int32_t ahead_;
  const int64_t parts_;  // of a page
  // In parts of pages.
  std::atomic<int64_t> next_ = 0;
  int64_t wanted_ = 0, urgent_ = 0;
};

}  // namespace xh
