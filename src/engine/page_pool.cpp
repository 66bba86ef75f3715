#include "engine/page_pool.h"

#include <algorithm>

#include "base/check.h"

namespace xh {

PagePool::PagePool(int32_t n_pages) : refs_(static_cast<size_t>(n_pages), 0) {
  free_.reserve(refs_.size());
  for (PageId page = n_pages; page-- > 0;) free_.push_back(page);
}

std::optional<PageId> PagePool::take() {
  if (free_.empty()) return std::nullopt;
  const PageId page = free_.back();
  free_.pop_back();
  refs_[static_cast<size_t>(page)] = 1;
  n_ever_used_ = std::max(n_ever_used_, page + 1);
  return page;
}

void PagePool::add_ref(PageId page) {
  XH_CHECK(refs_[static_cast<size_t>(page)] > 0);
  ++refs_[static_cast<size_t>(page)];
}

void PagePool::release(PageId page) {
  int32_t& refs = refs_[static_cast<size_t>(page)];
  XH_CHECK(refs > 0);
  if (--refs == 0) free_.push_back(page);
}

}  // namespace xh
