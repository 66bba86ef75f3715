#include "compute/cpu/packed_matrix.h"

#include <cstring>

#include "compute/cpu/unpack_source.h"
#include "tensor/float16.h"

namespace xh::cpu {
namespace {

constexpr int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

// lines[g][4r + j] is value 4g + j of row r.
using Lines = uint8_t[8][64];

void merge_pairs(const Lines& lines, int shift, uint8_t* out) {
  for (int i = 0; i < 128; ++i) {
    int g = i / 64 * 4, at = i % 64;
    int byte = 0;
    for (int j = 0; j < 4; ++j) byte |= ((lines[g + j][at] >> shift) & 3) << (2 * j);
    out[i] = static_cast<uint8_t>(byte);
  }
}
void merge_bits(const Lines& lines, int shift, uint8_t* out) {
  for (int at = 0; at < 64; ++at) {
    int byte = 0;
    for (int g = 0; g < 8; ++g) byte |= ((lines[g][at] >> shift) & 1) << g;
    out[at] = static_cast<uint8_t>(byte);
  }
}
void merge_nibbles(const Lines& lines, uint8_t* out) {
  for (int i = 0; i < 4; ++i)
    for (int at = 0; at < 64; ++at)
      out[i * 64 + at] = static_cast<uint8_t>((lines[i][at] & 15) | lines[i + 4][at] << 4);
}

void pack_quants(Quants quants, const Lines& lines, uint8_t* out) {
  switch (quants) {
    case Quants::kU2: return merge_pairs(lines, 0, out);
    case Quants::kU3: merge_pairs(lines, 0, out); return merge_bits(lines, 2, out + 128);
    case Quants::kU4:
    case Quants::kLutIq4:
    case Quants::kLutFp4: return merge_nibbles(lines, out);
    case Quants::kU5: merge_nibbles(lines, out); return merge_bits(lines, 4, out + 256);
    case Quants::kU6: merge_nibbles(lines, out); return merge_pairs(lines, 4, out + 256);
    case Quants::kU8: std::memcpy(out, lines, 512); return;
    case Quants::kNone: return;
  }
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

void pack_blocks(const TensorView& w, const PackFormat& format, int64_t panel, uint8_t* scales,
                 uint8_t* quants) {
  const BlockShape shape = block_shape(w.type);
  const auto subs = static_cast<int>(shape.values / kBlock);
  const int64_t n = w.cols() / shape.values;
  Lines lines[8];
  SourceBlock block;
  const SourceBlock zero = zero_block(format);
  for (int64_t b = 0; b < n; ++b) {
    for (int r = 0; r < kPanelRows; ++r) {
      int64_t row = panel * kPanelRows + r;
      bool real = row < w.rows();
      if (real) unpack_source(w.type, w.row(row) + b * shape.bytes, block);
      const SourceBlock& from = real ? block : zero;
      pack_scale(format.scales, from, r, scales);
      for (int sub = 0; sub < subs; ++sub)
        for (int g = 0; g < 8; ++g)
          std::memcpy(&lines[sub][g][4 * r], from.u + sub * kBlock + 4 * g, 4);
    }
    for (int sub = 0; sub < subs; ++sub) {
      pack_quants(format.quants, lines[sub], quants);
      quants += quant_bytes(format.quants);
    }
    scales += scale_bytes(format.scales);
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
                                                         const TensorView& w,
                                                         std::string_view name) {
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
  m->out_ = w.rows();
  m->in_ = w.cols();
  int64_t quant_area;
  if (plain) {
    quant_area = w.cols() * kPanelRows * block_shape(w.type).bytes;
  } else {
    int64_t n_blocks = w.cols() / kBlock;
    m->scale_area_ =
        round_up(n_blocks / blocks_per_scale(format.scales) * scale_bytes(format.scales), 64);
    quant_area = n_blocks * quant_bytes(format.quants);
  }
  m->panel_bytes_ = m->scale_area_ + round_up(quant_area, 64);
  m->base_ = base;
  return m;
}

void PackedMatrix::fill(const TensorView& w, uint8_t* to, ThreadPool& pool) const {
  const PackFormat format = pack_format(type_);
  pool.run([&](int32_t thread) {
    Share share = share_of(n_panels(), thread, pool.size());
    for (int64_t p = share.begin; p < share.end; ++p) {
      uint8_t* scales = to + p * panel_bytes_;
      if (format.quants == Quants::kNone)
        pack_plain(w, p, scales + scale_area_);
      else
        pack_blocks(w, format, p, scales, scales + scale_area_);
    }
  });
}

Result<std::unique_ptr<PackedMatrix>> PackedMatrix::pack(const TensorView& w, std::string_view name,
                                                         ThreadPool& pool) {
  XH_TRY(auto m, over(nullptr, w, name));
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

// The integer that stands at row r, k = 4g + j of a block, without the format's offset.
int quant_value(Quants quants, const uint8_t* block, int r, int k) {
  const int g = k / 4, at = 4 * r + k % 4;
  auto nibble = [&] { return (block[(g & 3) * 64 + at] >> (g < 4 ? 0 : 4)) & 15; };
  auto pair = [&](int base) { return (block[base + (g >> 2) * 64 + at] >> (2 * (g & 3))) & 3; };
  auto bit = [&](int base) { return (block[base + at] >> g) & 1; };
  switch (quants) {
    case Quants::kU2: return pair(0);
    case Quants::kU3: return pair(0) | bit(128) << 2;
    case Quants::kU4: return nibble();
    case Quants::kU5: return nibble() | bit(256) << 4;
    case Quants::kU6: return nibble() | pair(256) << 4;
    case Quants::kLutIq4: return kLutIq4[nibble()];
    case Quants::kLutFp4: return kLutFp4[nibble()];
    default: return block[g * 64 + at];
  }
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
  const int64_t panel = r / kPanelRows;
  const int lane = static_cast<int>(r % kPanelRows);
  const uint8_t* q = quants(panel);
  if (!takes_blocks()) {
    for (int64_t k = 0; k < in_; ++k) out[k] = plain_value(type_, q, k * kPanelRows + lane);
    return;
  }
  const int every = blocks_per_scale(format.scales), group = group_of(format.scales);
  const int offset = format.offset_shift ? 1 << format.offset_shift : 0;
  for (int64_t k = 0; k < in_; ++k) {
    const int64_t b = k / kBlock;
    const uint8_t* record = scales(panel) + b / every * scale_bytes(format.scales);
    const int in_record = static_cast<int>(k % (every * kBlock));
    auto [scale, min] =
        scale_value(format.scales, record, in_record / kBlock, in_record / group, lane);
    int value = quant_value(format.quants, q + b * quant_bytes(format.quants), lane,
                            static_cast<int>(k % kBlock)) -
                offset;
    out[k] = has_min(format.scales) ? scale * static_cast<float>(value) + min
                                    : scale * static_cast<float>(value);
  }
}

}  // namespace xh::cpu
