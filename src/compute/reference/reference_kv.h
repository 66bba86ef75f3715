// Keys and values as plain float32: page → layer → K (tokens, heads, k_dim), then V.
#pragma once

#include <vector>

#include "compute/kv_store.h"

namespace xh::reference {

class ReferenceKv : public KvStore {
 public:
  ReferenceKv(KvLayout layout, int32_t n_pages);

  int32_t n_pages() const override { return n_pages_; }
  uint64_t page_bytes() const override { return page_floats_ * sizeof(float); }
  void copy_page(PageId dst, PageId src, int32_t n_tokens) override;
  std::span<std::byte> page_part(PageId page, int32_t part) override;

  // Key / value of one token: (n_kv_heads, dim).
  float* k(int32_t layer, PageId page, int32_t slot);
  float* v(int32_t layer, PageId page, int32_t slot);

 private:
  KvLayout layout_;
  int32_t n_pages_;
  uint64_t page_floats_ = 0;
  std::vector<uint64_t> layer_offset_;  // floats from the page's start
  std::vector<float> data_;
};

}  // namespace xh::reference
