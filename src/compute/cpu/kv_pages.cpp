#include "compute/cpu/kv_pages.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/numa.h"
#include "tensor/float16.h"

namespace xh::cpu {
namespace {

constexpr int64_t kMaxHeadDim = 1024;

constexpr int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

KvPages::Head head_layout(const KvLayer& layer, KvType type) {
  KvPages::Head h{};
  h.k_dim = layer.k_dim;
  h.v_dim = layer.v_dim;
  h.v_pad = round_up(h.v_dim, kPanelRows);
  const bool bytes = type == KvType::kQ8 || type == KvType::kQ4;
  if (bytes) {
    h.k_pad = round_up(h.k_dim, 4);
    h.k_panel_bytes = h.k_pad * kPanelRows;
    h.v_panel_bytes = kPageTokens * kPanelRows;
    if (type == KvType::kQ4) h.v_panel_bytes /= 2;
  } else {
    const int64_t size = type == KvType::kF16 ? 2 : 4;
    h.k_pad = h.k_dim;
    h.k_panel_bytes = h.k_pad * kPanelRows * size;
    h.v_panel_bytes = kPageTokens * kPanelRows * size;
  }
  const int64_t scales = bytes ? kPageTokens * 4 : 0;
  h.k_scales_offset = h.k_panel_bytes * (kPageTokens / kPanelRows);
  h.v_offset = round_up(h.k_scales_offset + scales, 64);
  const bool pairs = type == KvType::kQ4;
  const int64_t panels = round_up(h.v_pad / kPanelRows, pairs ? 2 : 1);
  h.v_factors_offset = h.v_offset + h.v_panel_bytes * panels;
  h.v_scales_offset = h.v_factors_offset + (pairs ? panels * kPageTokens : 0);
  h.bytes = round_up(h.v_scales_offset + scales, 64);
  return h;
}

// The least factor that brings 16 values within 4 bits.
int factor_of(const int8_t* q) {
  int most = 0;
  for (int64_t i = 0; i < kPanelRows; ++i) most = std::max<int>(most, std::abs(q[i]));
  return std::clamp((most + kNibbleLimit - 1) / kNibbleLimit, 1, kMaxFactor);
}

// round(q / factor) + 8; halves away from zero.
constexpr auto kNibbles = [] {
  constexpr int kLimit = kNibbleLimit * kMaxFactor;
  std::array<std::array<uint8_t, 2 * kLimit + 1>, kMaxFactor + 1> out{};
  for (int f = 1; f <= kMaxFactor; ++f)
    for (int q = -kLimit; q <= kLimit; ++q)
      out[static_cast<size_t>(f)][static_cast<size_t>(q + kLimit)] =
          static_cast<uint8_t>(8 + (2 * q + (q < 0 ? -f : f)) / (2 * f));
  return out;
}();
int nibble(int8_t q, int factor) {
  constexpr int kLimit = kNibbleLimit * kMaxFactor;  // of numbers; what is none may be anything
  const int index = std::clamp<int>(q, -kLimit, kLimit) + kLimit;
  return kNibbles[static_cast<size_t>(factor)][static_cast<size_t>(index)];
}

}  // namespace

Result<std::unique_ptr<KvPages>> KvPages::make(const KvLayout& layout, int32_t n_pages,
                                               std::span<const int32_t> nodes) {
  if (n_pages <= 0) return fail(ErrorCode::kInvalidArgument, "needs at least one page", "kv pages");
  auto kv = std::make_unique<KvPages>();
  kv->type_ = layout.type;
  kv->n_pages_ = n_pages;
  uint64_t total = 0;
  for (const KvLayer& layer : layout.layers) {
    if (layer.k_dim <= 0 || layer.v_dim <= 0 || layer.k_dim > kMaxHeadDim ||
        layer.v_dim > kMaxHeadDim || layer.n_kv_heads <= 0)
      return fail(ErrorCode::kUnsupported,
                  "heads of " + std::to_string(layer.k_dim) + " and " +
                      std::to_string(layer.v_dim) + " values are outside 1 … " +
                      std::to_string(kMaxHeadDim),
                  "kv layout");
    Layer l;
    l.n_kv_heads = layer.n_kv_heads;
    l.head = head_layout(layer, layout.type);
    l.page_bytes = static_cast<uint64_t>(l.head.bytes) * static_cast<uint64_t>(layer.n_kv_heads);
    l.offset = total;
    total += l.page_bytes * static_cast<uint64_t>(n_pages);
    kv->page_bytes_ += l.page_bytes;
    kv->layers_.push_back(l);
  }
  XH_TRY(kv->memory_, Memory::map(total));
  if (!nodes.empty()) interleave({kv->memory_.data(), total}, nodes);
  return kv;
}

DType KvPages::float_type() const {
  return type_ == KvType::kF32 ? DType::kF32 : DType::kF16;
}

std::byte* KvPages::at(int32_t layer, PageId page, int32_t kv_head) const {
  XH_CHECK(page >= 0 && page < n_pages_);
  const Layer& l = layers_[static_cast<size_t>(layer)];
  return memory_.data() + l.offset + static_cast<uint64_t>(page) * l.page_bytes +
         static_cast<uint64_t>(kv_head) * static_cast<uint64_t>(l.head.bytes);
}

void KvPages::copy_page(PageId dst, PageId src, int32_t) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto layer = static_cast<int32_t>(i);
    std::memcpy(at(layer, dst, 0), at(layer, src, 0), layers_[i].page_bytes);
  }
}

std::span<std::byte> KvPages::page_part(PageId page, int32_t layer) {
  return {at(layer, page, 0), layers_[static_cast<size_t>(layer)].page_bytes};
}

void KvPages::prepare(PageId page, int32_t layer) {
  const auto offset = static_cast<uint64_t>(at(layer, page, 0) - memory_.data());
  memory_.populate(offset, layers_[static_cast<size_t>(layer)].page_bytes);
}

void KvPages::put_key(const KernelTable& table, const Head& h, std::byte* base, int32_t slot,
                      const float* k) {
  int8_t q[kMaxHeadDim + 4];
  std::fill_n(q + h.k_dim, 4, int8_t{0});
  int32_t sum;
  reinterpret_cast<float*>(base + h.k_scales_offset)[slot] =
      table.attention->quantise(k, h.k_dim, kKeyLimit, q, &sum);
  std::byte* to = base + slot / kPanelRows * h.k_panel_bytes + slot % kPanelRows * 4;
  for (int64_t i = 0; i < h.k_pad; i += 4, to += 64) {
    uint32_t four;
    std::memcpy(&four, q + i, 4);
    four ^= 0x80808080u;  // + 128
    std::memcpy(to, &four, 4);
  }
}

void KvPages::put_value_q8(const KernelTable& table, const Head& h, std::byte* base, int32_t slot,
                           const float* v) {
  int8_t q[kMaxHeadDim + 8];
  std::fill_n(q + h.v_dim, 8, int8_t{0});
  int32_t sum;
  reinterpret_cast<float*>(base + h.v_scales_offset)[slot] =
      table.attention->quantise(v, h.v_dim, kValueLimit, q, &sum);
  auto* values = reinterpret_cast<uint8_t*>(base + h.v_offset) + slot / 4 * 64 + slot % 4;
  for (int64_t i = 0; i < h.v_dim; i += 8) {  // by shifts: a quarter of the time of one by one
    uint64_t eight;
    std::memcpy(&eight, q + i, 8);
    uint8_t* to = values + i / kPanelRows * h.v_panel_bytes + i % kPanelRows * 4;
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) to[j * 4] = static_cast<uint8_t>(eight >> 8 * j);
  }
}

// First to whole multiples of the token's scale, then each 16 of them to 4 bits. Two dims share a
// byte, never two tokens, which different threads may store at once.
void KvPages::put_value_q4(const KernelTable& table, const Head& h, std::byte* base, int32_t slot,
                           const float* v) {
  int8_t q[kMaxHeadDim + 2 * kPanelRows] = {};
  int32_t sum;
  reinterpret_cast<float*>(base + h.v_scales_offset)[slot] =
      table.attention->quantise(v, h.v_dim, kNibbleLimit * kMaxFactor, q, &sum);
  auto* factors = reinterpret_cast<uint8_t*>(base + h.v_factors_offset) + slot;
  auto* to = reinterpret_cast<uint8_t*>(base + h.v_offset) + slot / 4 * 64 + slot % 4;
  for (int64_t first = 0; first < h.v_pad; first += 2 * kPanelRows, to += 512) {
    const int8_t* low = q + first;
    const int8_t* high = low + kPanelRows;
    const int a = factor_of(low), b = factor_of(high);
    factors[first / kPanelRows * kPageTokens] = static_cast<uint8_t>(a);
    factors[(first / kPanelRows + 1) * kPageTokens] = static_cast<uint8_t>(b);
    for (int64_t i = 0; i < kPanelRows; ++i)
      to[i * 4] = static_cast<uint8_t>(nibble(low[i], a) | nibble(high[i], b) << 4);
  }
}

void KvPages::fetch(int32_t layer, PageId page, int32_t kv_head, int32_t slot) const {
  if (type_ != KvType::kQ8 && type_ != KvType::kQ4) return;
  const Head& h = head(layer);
  const std::byte* base = at(layer, page, kv_head);
  const std::byte* keys = base + slot / kPanelRows * h.k_panel_bytes;
  const std::byte* values = base + h.v_offset + slot / 4 * 64;
  for (int64_t i = 0; i < h.k_pad; i += 4, keys += 64) __builtin_prefetch(keys, 1);
  const int64_t line_bytes = h.v_panel_bytes * (type_ == KvType::kQ4 ? 2 : 1);  // from line to line
  for (; values < base + h.v_factors_offset; values += line_bytes) __builtin_prefetch(values, 1);
  __builtin_prefetch(base + h.k_scales_offset + slot * 4, 1);
  __builtin_prefetch(base + h.v_scales_offset + slot * 4, 1);
}

void KvPages::put(const KernelTable& table, int32_t layer, PageId page, int32_t kv_head,
                  int32_t slot, const float* k, const float* v) {
  const Head& h = head(layer);
  std::byte* base = at(layer, page, kv_head);
  std::byte* k_panel = base + slot / kPanelRows * h.k_panel_bytes;
  std::byte* v_panels = base + h.v_offset;
  const int64_t lane = slot % kPanelRows;
  if (type_ == KvType::kF32) {
    auto* to = reinterpret_cast<float*>(k_panel) + lane;
    for (int64_t i = 0; i < h.k_dim; ++i) to[i * kPanelRows] = k[i];
    for (int64_t i = 0; i < h.v_dim; ++i)
      reinterpret_cast<float*>(
          v_panels + i / kPanelRows * h.v_panel_bytes)[slot * kPanelRows + i % kPanelRows] = v[i];
  } else if (type_ == KvType::kF16) {
    uint16_t half[kMaxHeadDim];
    table.to_f16(k, h.k_dim, half);
    auto* to = reinterpret_cast<uint16_t*>(k_panel) + lane;
    for (int64_t i = 0; i < h.k_dim; ++i) to[i * kPanelRows] = half[i];
    table.to_f16(v, h.v_dim, half);
    for (int64_t i = 0; i < h.v_dim; i += kPanelRows)
      std::memcpy(v_panels + i / kPanelRows * h.v_panel_bytes + slot * kPanelRows * 2, half + i,
                  static_cast<size_t>(std::min<int64_t>(kPanelRows, h.v_dim - i)) * 2);
  } else {
    put_key(table, h, base, slot, k);
    float transformed[kMaxHeadDim];
    std::copy_n(v, h.v_dim, transformed);
    table.attention->hadamard(transformed, h.v_dim);
    if (type_ == KvType::kQ8)
      put_value_q8(table, h, base, slot, transformed);
    else
      put_value_q4(table, h, base, slot, transformed);
  }
}

}  // namespace xh::cpu
