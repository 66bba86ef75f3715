// Products of queries and keys to bf16 weights. Included by isa_amx_attention.cpp inside its
// anonymous namespace.

// 2^y, relative error 1e-4, far below the rounding to bf16.
inline __m512 exp2_of(__m512 y) {
  const __m512 r = _mm512_reduce_ps(y, 1);  // y - floor(y)
  __m512 p = _mm512_set1_ps(7.802452e-2f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.2606716e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9583353e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.9992522e-1f));
  return _mm512_scalef_ps(p, y);
}

// Tokens of the page that column c sees.
inline uint32_t seen(const AttendArgs& args, int64_t c, int64_t page) {
  auto bits_from = [&](int64_t at) {
    at -= page * kPage;
    return ~uint64_t{0} << (at < 0 ? 0 : at > kPage ? kPage : at);
  };
  return static_cast<uint32_t>(bits_from(args.from[c]) & ~bits_from(args.to[c]));
}

// Integer sums of 16 tokens and a query, by the query's scale; the score is this times the keys'
// scales.
inline __m512 in_units(const int32_t* products, float unit, float offset) {
  const __m512 sums = _mm512_cvtepi32_ps(_mm512_load_si512(products));
  return _mm512_fmadd_ps(sums, _mm512_set1_ps(unit), _mm512_set1_ps(offset));
}

// Weights are relative to the largest score of the first page that a column sees, rounded up: a
// whole number, so that states are merged with powers of two. Any number near the scores does, for
// floats are as good far above 1 as below; see `outgrown`.
template <int kColumns>
void find_tops(const AttendArgs& args, int64_t first, int64_t page, Work& work) {
  const auto* const products = work.products[page & 1];
  const float* const scales = key_scales(args, page);
  float(*lanes)[kTile] = work.sums[0][0];
  __mmask16 begin = 0;
  for (int c = 0; c < kColumns && first + c < args.n_columns; ++c) {
    const uint32_t mask = seen(args, first + c, page);
    const int64_t from = args.from[first + c] < 0 ? 0 : args.from[first + c];
    if (mask == 0 || from / kPage != page) continue;
    begin |= static_cast<__mmask16>(1 << c);
    const __m512 never = _mm512_set1_ps(kNever);
    __m512 score[2];
    for (int j = 0; j < 2; ++j) {
      const __m512 of_units =
          in_units(products[c] + j * kTile, work.units[first + c], work.offsets[first + c]);
      score[j] = _mm512_mask_mul_ps(never, static_cast<__mmask16>(mask >> (16 * j)), of_units,
                                    _mm512_loadu_ps(scales + j * kTile));
    }
    _mm512_store_ps(lanes[c], _mm512_max_ps(score[0], score[1]));
  }
  if (begin == 0) return;
  const __m512 most = across_lanes(lanes, [](__m512 a, __m512 b) { return _mm512_max_ps(a, b); });
  const __m512 top = _mm512_roundscale_ps(most, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
  _mm512_mask_store_ps(work.tops + first, begin, top);
}

// A page's products → weights 2^(score - top) · v_scale; per lane the sums of 2^(score - top) and
// of the rounded weights. Meanwhile `lines` are fetched ahead, a few at a time.
template <int kColumns, bool kMasked>
inline void weigh_tokens(const AttendArgs& args, int64_t first, int64_t page, int64_t lines,
                         Work& work) {
  const auto* const products = work.products[page & 1];
  const float* const scales = key_scales(args, page);
  const float* const v_scales = args.v_scales[page];
  const auto ones = (__m512bh)_mm512_set1_epi32(0x3f803f80);
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) {
    if (lines > 0) args.ahead->fetch(lines * (c + 1) / kColumns - lines * c / kColumns);
    const int64_t column = first + c;
    const __m512 top = _mm512_set1_ps(work.tops[column]);
    uint32_t mask = 0;
    if constexpr (kMasked) mask = column < args.n_columns ? seen(args, column, page) : 0;
    __m512 e[2], w[2];
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512 of_units =
          in_units(products[c] + j * kTile, work.units[column], work.offsets[column]);
      const __m512 v_scale = _mm512_loadu_ps(v_scales + j * kTile);
      e[j] = exp2_of(_mm512_fmsub_ps(of_units, _mm512_loadu_ps(scales + j * kTile), top));
      if constexpr (kMasked) {
        // What nobody sees yet may have a scale that is no number: 0 times that is not 0.
        const auto sees = static_cast<__mmask16>(mask >> (16 * j));
        e[j] = _mm512_maskz_mov_ps(sees, e[j]);
        w[j] = _mm512_maskz_mul_ps(sees, e[j], v_scale);
      } else {
        w[j] = _mm512_mul_ps(e[j], v_scale);
      }
    }
    const __m512bh rounded = _mm512_cvtne2ps_pbh(w[1], w[0]);
    _mm512_store_si512(work.weights[column] + page * kPage, (__m512i)rounded);
    float *sums = work.lanes[0][column], *weight_sums = work.lanes[1][column];
    _mm512_store_ps(sums, _mm512_add_ps(_mm512_load_ps(sums), _mm512_add_ps(e[0], e[1])));
    _mm512_store_ps(weight_sums, _mm512_dpbf16_ps(_mm512_load_ps(weight_sums), rounded, ones));
  }
}

template <int kColumns>
inline void soften_page(const AttendArgs& args, int64_t first, int64_t page, int64_t lines,
                        Work& work) {
  const bool whole = work.whole[first / kTile];
  if (!work.tops_known && (!whole || page == 0)) find_tops<kColumns>(args, first, page, work);
  if (whole)
    weigh_tokens<kColumns, false>(args, first, page, lines, work);
  else
    weigh_tokens<kColumns, true>(args, first, page, lines, work);
}
