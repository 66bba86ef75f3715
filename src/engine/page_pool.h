// Who uses which page of the KV store: reference counts and a free list. The number of pages is
// the memory budget; it never grows.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "compute/kv_store.h"

namespace xh {

// Owned by the scheduler; one thread.
class PagePool {
 public:
  explicit PagePool(int32_t n_pages);

  // A page with one reference, or nullopt when none is free.
  std::optional<PageId> take();
  void add_ref(PageId page);
  // Drops one reference; the last one frees the page.
  void release(PageId page);

  int32_t refs(PageId page) const { return refs_[static_cast<size_t>(page)]; }
  int32_t n_pages() const { return static_cast<int32_t>(refs_.size()); }
  int32_t n_free() const { return static_cast<int32_t>(free_.size()); }
  // Pages below this one have been in use; no other ever was.
  int32_t n_ever_used() const { return n_ever_used_; }
  int32_t n_used() const { return n_pages() - n_free(); }

 private:
  int32_t n_ever_used_ = 0;
  std::vector<int32_t> refs_;  // (n_pages), 0: free
  std::vector<PageId> free_;   // last in, first out: warm pages are reused first
};

}  // namespace xh
