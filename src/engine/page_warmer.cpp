#include "engine/page_warmer.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace xh {
namespace {
constexpr int32_t kRest = 3;  // times as long as the work before it
constexpr int kLeastUrgent = 19;
}  // namespace

PageWarmer::PageWarmer(KvStore& kv, int32_t ahead)
    : kv_(kv), ahead_(ahead), wanted_(std::min(ahead, kv.n_pages())), thread_([this] { run(); }) {}

PageWarmer::~PageWarmer() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void PageWarmer::used(int32_t n_pages) {
  std::lock_guard lock(mutex_);
  const int32_t wanted = n_pages + std::min(kv_.n_pages() - n_pages, ahead_);
  if (wanted <= wanted_) return;
  wanted_ = wanted;
  changed_.notify_one();
}

void PageWarmer::run() {
  using Clock = std::chrono::steady_clock;
  // Of this thread alone: it gets the cores when forward passes leave them.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kLeastUrgent);
  std::unique_lock lock(mutex_);
  for (PageId ready = 0;; ++ready) {
    changed_.wait(lock, [&] { return stop_ || ready < wanted_; });
    if (stop_) return;
    lock.unlock();
    const auto begin = Clock::now();
    kv_.prepare(ready);
    const auto took = Clock::now() - begin;
    lock.lock();
    if (ready >= ahead_) changed_.wait_for(lock, kRest * took, [&] { return stop_; });
  }
}

}  // namespace xh
