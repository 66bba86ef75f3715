// Keys and values in the kernels' panel layout, so that attention runs on the matrix kernels.
//
// Memory: layer → page → kv head → K, then V (each a multiple of 64 bytes).
//   K: 2 panels of 16 tokens ("rows" = tokens, "k" = dims).
//   V: v_dim / 16 panels of 16 dims ("rows" = dims, "k" = tokens).
//   f32, f16: K has for each dim, V for each of 32 tokens, 16 values.
//   q8: see attention_kernels.h. Heads are stored after a Hadamard transform, which spreads
//   outlying
//       channels so that one scale per token serves all dims. Queries take the same one; weighted
//       sums of values take it back in the end.
//   q4: keys as q8; values in 4 bits, transformed as well.
// V dims are padded with zeros to a multiple of 16 (q4: 32), K dims of q8 and q4 to one of 4.
#pragma once

#include <vector>

#include "compute/compute.h"
#include "compute/cpu/kernels/kernel_table.h"
#include "compute/cpu/memory.h"

namespace xh::cpu {

class KvPages : public KvStore {
 public:
  // With `nodes` the memory is dealt out to them in turn: any thread may come to read any page.
  static Result<std::unique_ptr<KvPages>> make(const KvLayout& layout, int32_t n_pages,
                                               std::span<const int32_t> nodes = {});

  int32_t n_pages() const override { return n_pages_; }
  uint64_t page_bytes() const override { return page_bytes_; }
  void copy_page(PageId dst, PageId src, int32_t n_tokens) override;
  std::span<std::byte> page_part(PageId page, int32_t layer) override;
  void prepare(PageId page, int32_t part) override;
  int32_t parts_of_page() const override { return static_cast<int32_t>(layers_.size()); }

  // How one kv head of one page lies; the same for all pages of a layer.
  struct Head {
    int64_t k_dim, v_dim;      // as the model has them
    int64_t k_pad, v_pad;      // padded
    int64_t k_panel_bytes;     // 16 tokens
    int64_t k_scales_offset;   // q8, q4: 32 floats, from the head's start
    int64_t v_panel_bytes;     // 16 dims × 32 tokens
    int64_t v_offset;          // from the head's start
    int64_t v_factors_offset;  // q4: 32 bytes a panel, from the head's start
    int64_t v_scales_offset;   // q8, q4: 32 floats, from the head's start
    int64_t bytes;
  };
  const Head& head(int32_t layer) const { return layers_[static_cast<size_t>(layer)].head; }
  int32_t n_kv_heads(int32_t layer) const { return layers_[static_cast<size_t>(layer)].n_kv_heads; }
  KvType type() const { return type_; }
  DType float_type() const;  // f32, f16: the kernel's row in the table
  std::byte* at(int32_t layer, PageId page, int32_t kv_head) const;

  // Stores one token's key and value of one head. q8, q4: the key after its Hadamard transform.
  void put(const KernelTable& table, int32_t layer, PageId page, int32_t kv_head, int32_t slot,
           const float* k, const float* v);
  // What put will write of 8-bit and 4-bit forms comes into the cache meanwhile.
  void fetch(int32_t layer, PageId page, int32_t kv_head, int32_t slot) const;

 private:
  void put_key(const KernelTable& table, const Head& h, std::byte* base, int32_t slot,
               const float* k);
  void put_value_q8(const KernelTable& table, const Head& h, std::byte* base, int32_t slot,
                    const float* v);
  void put_value_q4(const KernelTable& table, const Head& h, std::byte* base, int32_t slot,
                    const float* v);

  struct Layer {
    int32_t n_kv_heads;
    Head head;
    uint64_t offset;      // of page 0 in memory_
    uint64_t page_bytes;  // of this layer
  };
  KvType type_ = KvType::kF16;
  int32_t n_pages_ = 0;
  uint64_t page_bytes_ = 0;
  std::vector<Layer> layers_;
  Memory memory_;
};

}  // namespace xh::cpu
