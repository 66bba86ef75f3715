#include "compute/cpu/packed_matrix.h"

#include <cstring>

#include "compute/cpu/quant_layout.h"
#include "compute/cpu/unpack_source.h"
#include "tensor/float16.h"

namespace xh::cpu {
namespace {

constexpr int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

// Row r's part of a scale record.
void pack_scale(Scales scales, const SourceBlock& b, int r, uint8_t* out) {
  if (scales == Scales::kE8M0) {
    out[r] = b.exponent;
    return;
  }
  std::memcpy(out + 2 * r, &b.d, 2);
  if (has_min(scales)) std::memcpy(out + 32 + 2 * r, &b.m, 2);
  if (scales == Scales::kSuper8)
    for (int j = 0; j < 8; ++j) out[32 + 16 * j + r] = b.scale[j];
  if (scales == Scales::kSuper16)
    for (int j = 0; j < 16; ++j) out[32 + 16 * j + r] = b.scale[j];
  if (scales == Scales::kSuperM16)
    for (int j = 0; j < 16; ++j) out[64 + 16 * j + r] = b.scale[j];
  if (scales == Scales::kSuperM8) {
    for (int j = 0; j < 8; ++j) {
      out[64 + 32 * j + r] = b.scale[j];
      out[64 + 32 * j + 16 + r] = b.min[j];
    }
  }
}

// What fills the rows after the last: weight zero in every format.
SourceBlock zero_block(const PackFormat& format) {
  SourceBlock zero;
  std::memset(
      zero.u,
      format.offset_shift && format.quants != Quants::kLutIq4 && format.quants != Quants::kLutFp4
          ? 1 << format.offset_shift
          : 0,
      sizeof zero.u);
  return zero;
}

void pack_blocks(const TensorView& w, Layout layout, int64_t panel, uint8_t* to) {
  const PackFormat format = pack_format(w.type);
  const BlockShape shape = block_shape(w.type);
  const auto subs = static_cast<int>(shape.values / kBlock);
  const int64_t n = w.cols() / shape.values;
  BlockValues values[8];
  SourceBlock block;
  const SourceBlock zero = zero_block(format);
  for (int64_t b = 0; b < n; ++b) {
    for (int r = 0; r < kPanelRows; ++r) {
      int64_t row = panel * kPanelRows + r;
      bool real = row < w.rows();
      if (real) unpack_source(w.type, w.row(row) + b * shape.bytes, block);
      const SourceBlock& from = real ? block : zero;
      pack_scale(format.scales, from, r, to + scales_at(format, b * subs));
      for (int sub = 0; sub < subs; ++sub)
        std::memcpy(values[sub][r], from.u + sub * kBlock, kBlock);
    }
    for (int sub = 0; sub < subs; ++sub)
      pack_quants(layout, format.quants, values[sub], to + quants_at(format, b * subs + sub));
  }
}

void pack_plain(const TensorView& w, int64_t panel, uint8_t* quants) {
  const size_t size = block_shape(w.type).bytes;
  for (int r = 0; r < kPanelRows; ++r) {
    int64_t row = panel * kPanelRows + r;
    if (row >= w.rows()) return;  // memory is zero already
    const std::byte* from = w.row(row);
    for (int64_t k = 0; k < w.cols(); ++k)
      std::memcpy(quants + (k * kPanelRows + r) * static_cast<int64_t>(size),
                  from + k * static_cast<int64_t>(size), size);
  }
}

}  // namespace

Result<std::unique_ptr<PackedMatrix>> PackedMatrix::over(const uint8_t* const* base,
                                                         const TensorView& w, std::string_view name,
                                                         Layout layout) {
  if (w.shape.rank != 2 || w.rows() <= 0 || w.cols() <= 0)
    return fail(ErrorCode::kUnsupported, "a weight matrix must have two dimensions",
                std::string(name));
  const PackFormat format = pack_format(w.type);
  const bool plain = format.quants == Quants::kNone;
  const bool plain_weight =
      w.type == DType::kF32 || w.type == DType::kF16 || w.type == DType::kBF16;
  if (plain && !plain_weight)
    return fail(ErrorCode::kUnsupported,
                "type " + std::string(dtype_name(w.type)) + " cannot hold a weight matrix",
                std::string(name));
  if (w.cols() % block_shape(w.type).values != 0 ||
      dtype_bytes(w.type, static_cast<uint64_t>(w.shape.count())) != w.bytes)
    return fail(ErrorCode::kCorrupt, "the tensor's size does not fit its shape", std::string(name));

  auto m = std::make_unique<PackedMatrix>();
  m->type_ = w.type;
  m->layout_ = layout;
  m->out_ = w.rows();
  m->in_ = w.cols();
  m->panel_bytes_ = round_up(plain ? w.cols() * kPanelRows * block_shape(w.type).bytes
                                   : cpu::panel_bytes(format, w.cols() / kBlock),
                             64);
  m->base_ = base;
  return m;
}

void PackedMatrix::fill(const TensorView& w, uint8_t* to, ThreadPool& pool) const {
  const PackFormat format = pack_format(type_);
  pool.run([&](int32_t thread) {
    Share share = share_of(n_panels(), thread, pool.size());
    for (int64_t p = share.begin; p < share.end; ++p) {
      uint8_t* panel = to + p * panel_bytes_;
      if (format.quants == Quants::kNone)
        pack_plain(w, p, panel);
      else
        pack_blocks(w, layout_, p, panel);
    }
  });
}

Result<std::unique_ptr<PackedMatrix>> PackedMatrix::pack(const TensorView& w, std::string_view name,
                                                         ThreadPool& pool, Layout layout) {
  XH_TRY(auto m, over(nullptr, w, name, layout));
  XH_TRY(m->memory_, Memory::map(m->bytes()));
  m->own_ = m->memory_.as<uint8_t>();
  m->base_ = &m->own_;
  m->fill(w, m->memory_.as<uint8_t>(), pool);
  return m;
}

namespace {

float plain_value(DType type, const uint8_t* p, int64_t i) {
  if (type == DType::kF32) {
    float f;
    std::memcpy(&f, p + 4 * i, 4);
    return f;
  }
  uint16_t h;
  std::memcpy(&h, p + 2 * i, 2);
  return type == DType::kF16 ? fp16_to_float(h) : bf16_to_float(h);
}

struct ScaleAndMin {
  float scale, min;
};
ScaleAndMin scale_value(Scales scales, const uint8_t* p, int sub, int group, int r) {
  auto half = [&](int at) {
    uint16_t h;
    std::memcpy(&h, p + at + 2 * r, 2);
    return fp16_to_float(h);
  };
  switch (scales) {
    case Scales::kD: return {half(0), 0};
    case Scales::kDM: return {half(0), half(32)};
    case Scales::kE8M0: return {e8m0_half_to_float(p[r]), 0};
    case Scales::kSuper8:
      return {half(0) * static_cast<float>(static_cast<int8_t>(p[32 + sub * 16 + r])), 0};
    case Scales::kSuper16:
      return {half(0) * static_cast<float>(static_cast<int8_t>(p[32 + group * 16 + r])), 0};
    case Scales::kSuperM8:
      return {half(0) * static_cast<float>(p[64 + sub * 32 + r]),
              -(half(32) * static_cast<float>(p[64 + sub * 32 + 16 + r]))};
    case Scales::kSuperM16: {
      int both = p[64 + group * 16 + r];
      return {half(0) * static_cast<float>(both & 15), -(half(32) * static_cast<float>(both >> 4))};
    }
    default: return {0, 0};
  }
}

}  // namespace

void PackedMatrix::decode_row(int64_t r, float* out) const {
  const PackFormat format = pack_format(type_);
  const int lane = static_cast<int>(r % kPanelRows);
  const uint8_t* p = panel(r / kPanelRows);
  if (!takes_blocks()) {
    for (int64_t k = 0; k < in_; ++k) out[k] = plain_value(type_, p, k * kPanelRows + lane);
    return;
  }
  const int every = blocks_per_scale(format.scales), group = group_of(format.scales);
  const int offset = format.offset_shift ? 1 << format.offset_shift : 0;
  uint8_t values[kBlock];
  for (int64_t b = 0; b < in_ / kBlock; ++b, out += kBlock) {
    const uint8_t* record = p + scales_at(format, b);
    unpack_row(layout_, format.quants, p + quants_at(format, b), lane, values);
    const int sub = static_cast<int>(b % every);
    for (int from = 0; from < kBlock; from += group) {
      const auto [scale, min] =
          scale_value(format.scales, record, sub, (sub * kBlock + from) / group, lane);
      for (int k = from; k < from + group; ++k) {
        const float product = scale * static_cast<float>(values[k] - offset);
        out[k] = has_min(format.scales) ? product + min : product;
      }
    }
  }
}

}  // namespace xh::cpu
