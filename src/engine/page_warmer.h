// Readies the memory of pages before the first sequence uses them. The kernel gives memory where it
// is first written, which may take longer than the tokens that are written: streams that began new
// pages together waited for all of them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "compute/kv_store.h"

namespace xh {

// One thread that keeps `ahead` pages ready beyond those that were ever used. The first are made
// ready at once; later it works a part of the time and without urgency, because forward passes need
// the cores and the kernel's work for a page holds one of them up.
class PageWarmer {
 public:
  // `kv` must outlive it.
  PageWarmer(KvStore& kv, int32_t ahead);
  ~PageWarmer();
  PageWarmer(const PageWarmer&) = delete;
  PageWarmer& operator=(const PageWarmer&) = delete;

  // Pages below `n_pages` have been used. Any thread.
  void used(int32_t n_pages);

 private:
  void run();

  KvStore& kv_;
  const int32_t ahead_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int32_t wanted_;  // pages that are to be ready
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace xh
