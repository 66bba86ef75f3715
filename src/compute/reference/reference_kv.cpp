#include "compute/reference/reference_kv.h"

#include <cstring>

#include "base/check.h"

namespace xh::reference {

ReferenceKv::ReferenceKv(KvLayout layout, int32_t n_pages)
    : layout_(std::move(layout)), n_pages_(n_pages) {
  for (const auto& layer : layout_.layers) {
    layer_offset_.push_back(page_floats_);
    page_floats_ += static_cast<uint64_t>(kPageTokens) * static_cast<uint64_t>(layer.n_kv_heads) *
                    static_cast<uint64_t>(layer.k_dim + layer.v_dim);
  }
  data_.resize(page_floats_ * static_cast<uint64_t>(n_pages));
}

float* ReferenceKv::k(int32_t layer, PageId page, int32_t slot) {
  XH_CHECK(page >= 0 && page < n_pages_);
  const auto& l = layout_.layers[static_cast<size_t>(layer)];
  return data_.data() + static_cast<uint64_t>(page) * page_floats_ +
         layer_offset_[static_cast<size_t>(layer)] +
         static_cast<uint64_t>(slot * l.n_kv_heads * l.k_dim);
}

float* ReferenceKv::v(int32_t layer, PageId page, int32_t slot) {
  const auto& l = layout_.layers[static_cast<size_t>(layer)];
  return k(layer, page, 0) + static_cast<uint64_t>(kPageTokens * l.n_kv_heads * l.k_dim) +
         static_cast<uint64_t>(slot * l.n_kv_heads * l.v_dim);
}

void ReferenceKv::copy_page(PageId dst, PageId src, int32_t n_tokens) {
  for (size_t i = 0; i < layout_.layers.size(); ++i) {
    auto layer = static_cast<int32_t>(i);
    const auto& l = layout_.layers[i];
    auto tokens = static_cast<size_t>(n_tokens);
    auto heads = static_cast<size_t>(l.n_kv_heads);
    std::memcpy(k(layer, dst, 0), k(layer, src, 0),
                tokens * heads * static_cast<size_t>(l.k_dim) * sizeof(float));
    std::memcpy(v(layer, dst, 0), v(layer, src, 0),
                tokens * heads * static_cast<size_t>(l.v_dim) * sizeof(float));
  }
}

std::span<std::byte> ReferenceKv::page_part(PageId page, int32_t) {
  const auto floats =
      std::span(data_).subspan(static_cast<size_t>(page) * page_floats_, page_floats_);
  return std::as_writable_bytes(floats);
}

}  // namespace xh::reference
