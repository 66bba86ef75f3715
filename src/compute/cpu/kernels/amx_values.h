// Weights times values, up to 48 columns and a whole chunk at a time. Included by
// isa_amx_attention.cpp inside its anonymous namespace.

// An eighth of what merge_panels will read and write.
template <int kPanels>
inline void fetch_state(const AttendArgs& args, int64_t d, int64_t page) {
  const int64_t first = args.n_columns * page / args.n_pages,
                last = args.n_columns * (page + 1) / args.n_pages;
  for (int64_t c = first; c < last; ++c)
    for (int i = 0; i < kPanels; ++i)
      __builtin_prefetch(args.acc + c * args.acc_stride + (d + i) * kTile, 1);
}

// 8 lines of V, four tokens of 16 dims each → 16 lines of two tokens in bf16, 192 + v. As many
// lines are fetched ahead, one at a time.
inline void widen(const int8_t* v, uint16_t (*to)[2 * kTile], Ahead* ahead) {
  const __m512i low = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
  const __m512i high = _mm512_broadcast_i32x4(
      _mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1));
  const __m512i exponent = _mm512_set1_epi16(0x4300), shift = _mm512_set1_epi8(64);
  constexpr __mmask64 kLowBytes = 0x5555555555555555;
  for (int i = 0; i < 8; ++i) {
    const __m512i four = _mm512_add_epi8(_mm512_loadu_si512(v + i * 64), shift);
    if (ahead) ahead->fetch(1);
    _mm512_store_si512(to[2 * i], _mm512_mask_shuffle_epi8(exponent, kLowBytes, four, low));
    _mm512_store_si512(to[2 * i + 1], _mm512_mask_shuffle_epi8(exponent, kLowBytes, four, high));
  }
}

// The state of kPanels panels of dims at d takes up a chunk's sums.
template <int kPanels>
inline void merge_panels(const AttendArgs& args, int64_t d, const Work& work) {
  const __m512 shift = _mm512_set1_ps(kValueShift);
  for (int64_t c = 0; c < args.n_columns; ++c) {
    if (work.add[c] == 0) continue;  // sees nothing of this chunk
    const __m512 weights = _mm512_set1_ps(work.weight_sums[c]);
    const __m512 keep = _mm512_set1_ps(work.keep[c]), add = _mm512_set1_ps(work.add[c]);
    const __mmask16 had = work.keep[c] == 0 ? 0 : 0xffff;  // what an empty state holds is not read
    float* acc = args.acc + c * args.acc_stride + d * kTile;
    for (int i = 0; i < kPanels; ++i, acc += kTile) {
      const __m512 sums = _mm512_load_ps(work.sums[c / kTile][i][c % kTile]);
      const __m512 chunk = _mm512_fnmadd_ps(shift, weights, sums);
      const __m512 old = _mm512_maskz_loadu_ps(had, acc);
      _mm512_storeu_ps(acc, _mm512_fmadd_ps(chunk, add, _mm512_mul_ps(old, keep)));
    }
  }
}

// kPanels panels of dims at d: tile 2 · group + panel sums up all pages. Weights go through a tile
// that has a row for each column.
template <int kGroups, int kPanels>
void weigh_panels(const AttendArgs& args, int64_t d, Work& work) {
  constexpr int kStride = kChunk * sizeof(uint16_t);
  constexpr int kWeights = kGroups == 1 ? 4 : 6;
  // Few columns wait for memory, many for their products.
  Ahead* const spread = kGroups == 1 ? args.ahead : nullptr;
  auto prepare = [&](int64_t page) {
    for (int i = 0; i < kPanels; ++i)
      widen(args.values[page] + (d + i) * kPanelBytes, work.values[page & 1][i], spread);
  };
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
  zero_tile<4>();
  zero_tile<5>();
  prepare(0);
  for (int64_t page = 0; page < args.n_pages; ++page) {
    if (page + 1 < args.n_pages) prepare(page + 1);
    const uint16_t* weights = work.weights[0] + page * kPage;
    load_tile<7>(work.values[page & 1][0], 64);
    load_tile<kWeights>(weights, kStride);
    multiply_bf16<0, kWeights, 7>();
    if constexpr (kGroups > 1) {
      load_tile<kWeights>(weights + kTile * kChunk, kStride);
      multiply_bf16<2, kWeights, 7>();
    }
    if constexpr (kGroups > 2) {
      load_tile<kWeights>(weights + 2 * kTile * kChunk, kStride);
      multiply_bf16<4, kWeights, 7>();
    }
    if constexpr (kPanels > 1) {
      load_tile<7>(work.values[page & 1][1], 64);
      if constexpr (kGroups > 2) multiply_bf16<5, kWeights, 7>();
      if constexpr (kGroups > 1) {
        if constexpr (kGroups > 2) load_tile<kWeights>(weights + kTile * kChunk, kStride);
        multiply_bf16<3, kWeights, 7>();
        load_tile<kWeights>(weights, kStride);
      }
      multiply_bf16<1, kWeights, 7>();
    }
    fetch_state<kPanels>(args, d, page);
    if (kGroups > 1 && args.ahead) args.ahead->fetch(args.ahead->share(8 * kPanels));
  }
  store_tile<0>(work.sums[0][0], 64);
  if constexpr (kPanels > 1) store_tile<1>(work.sums[0][1], 64);
  if constexpr (kGroups > 1) store_tile<2>(work.sums[1][0], 64);
  if constexpr (kGroups > 1 && kPanels > 1) store_tile<3>(work.sums[1][1], 64);
  if constexpr (kGroups > 2) store_tile<4>(work.sums[2][0], 64);
  if constexpr (kGroups > 2 && kPanels > 1) store_tile<5>(work.sums[2][1], 64);
  merge_panels<kPanels>(args, d, work);
}

template <int kGroups>
void weigh(const AttendArgs& args, Work& work) {
  int64_t d = 0;
  for (; d + 2 <= args.panels; d += 2) weigh_panels<kGroups, 2>(args, d, work);
  if (d < args.panels) weigh_panels<kGroups, 1>(args, d, work);
}
