#include "engine/page_warmer.h"

#include <algorithm>
#include <chrono>

namespace xh {

PageWarmer::PageWarmer(KvStore& kv, int32_t ahead)
    : kv_(kv), ahead_(ahead), parts_(kv.parts_of_page()) {
  used(0);
}

void PageWarmer::used(int32_t n_pages) {
  const auto ahead_of = [&](int32_t more) {
    return parts_ * (n_pages + std::min(kv_.n_pages() - n_pages, more));
  };
  wanted_ = std::max(wanted_, ahead_of(ahead_));
  urgent_ = std::max(urgent_, ahead_of(ahead_ / 4));
}

void PageWarmer::work(double ms) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double, std::milli>(ms);
  int64_t part = next_;
  do {
    do {
      if (part >= wanted_) return;
    } while (!next_.compare_exchange_weak(part, part + 1));
    kv_.prepare(static_cast<PageId>(part / parts_), static_cast<int32_t>(part % parts_));
    part = next_;
  } while (Clock::now() < end);
}

}  // namespace xh
