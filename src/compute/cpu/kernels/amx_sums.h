// Four tiles of sums, [panel of two + 2 · tile of columns], and their way to memory. Included by
// isa_amx.cpp inside its anonymous namespace.

inline void zero_sums() {
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
}
inline void load_sums(const float* from) {
  load_tile<0>(from, 64);
  load_tile<1>(from + 256, 64);
  load_tile<2>(from + 512, 64);
  load_tile<3>(from + 768, 64);
}
inline void store_sums(float* to) {
  store_tile<0>(to, 64);
  store_tile<1>(to + 256, 64);
  store_tile<2>(to + 512, 64);
  store_tile<3>(to + 768, 64);
}
// m[i] lane j becomes m[j] lane i.
inline void transpose(__m512* m) {
  __m512 a[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(m[i], m[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(m[i], m[i + 1]);
  }
  auto pairs = [](__m512 x, __m512 y, bool high) {
    const __m512d p = _mm512_castps_pd(x), q = _mm512_castps_pd(y);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(p, q) : _mm512_unpacklo_pd(p, q));
  };
  for (int i = 0; i < 16; i += 4) {
    m[i] = pairs(a[i], a[i + 2], false);
    m[i + 1] = pairs(a[i], a[i + 2], true);
    m[i + 2] = pairs(a[i + 1], a[i + 3], false);
    m[i + 3] = pairs(a[i + 1], a[i + 3], true);
  }
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_f32x4(m[i], m[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_f32x4(m[i], m[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_f32x4(m[i + 8], m[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_f32x4(m[i + 8], m[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    m[i] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0x88);
    m[i + 8] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0xdd);
  }
}

// Brings a tile of sums, [16 rows][16 columns], to where it belongs.
void finish_tile(const ProductArgs& args, int64_t panel, int64_t tile, const float* sums) {
  const int64_t row = panel * kPanelRows, columns = args.cut.width(tile);
  const int64_t column = args.cut.first(tile) - args.cut.first(args.first_tile);
  const int64_t rows = args.rows - row < 16 ? args.rows - row : 16;
  const auto mask = static_cast<__mmask16>((1u << rows) - 1);
  const __m512 bias =
      args.bias ? _mm512_maskz_loadu_ps(mask, args.bias + row) : _mm512_setzero_ps();
  __m512 m[16];
  if (columns <= 3) {
    const __m512i rows_at = _mm512_slli_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 4);
    for (int64_t c = 0; c < columns; ++c) m[c] = _mm512_i32gather_ps(rows_at, sums + c, 4);
  } else {
    for (int i = 0; i < 16; ++i) m[i] = _mm512_load_ps(sums + 16 * i);
    transpose(m);
  }
  for (int64_t c = 0; c < columns; ++c) {
    float* y = args.y + (column + c) * args.y_stride + row;
    __m512 v = args.bias ? _mm512_add_ps(m[c], bias) : m[c];
    if (args.add) v = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), v);
    _mm512_mask_storeu_ps(y, mask, v);
  }
}

void finish_sums(const ProductArgs& args, int64_t panel, int64_t n_panels, int64_t tile,
                 int64_t n_tiles, const float* sums) {
  for (int64_t p = 0; p < n_panels; ++p)
    for (int64_t t = 0; t < n_tiles; ++t)
      finish_tile(args, panel + p, tile + t, sums + 512 * t + 256 * p);
}
