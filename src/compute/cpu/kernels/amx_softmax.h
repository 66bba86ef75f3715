// Scores of 16 columns to bf16 weights. Included by isa_amx_attention.cpp
// inside its anonymous namespace.

// 16 vectors → the vector of their sums (or maxima) over lanes; every vector's lanes meet in the
// same order.
template <class Op>
inline __m512 across_lanes(const float (*rows)[kTile], Op op) {
  __m512 v[kTile];
  for (int i = 0; i < kTile; ++i) v[i] = _mm512_load_ps(rows[i]);
  for (int i = 0; i < 8; ++i)
    v[i] =
        op(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(v[2 * i]), b = _mm512_castps_pd(v[2 * i + 1]);
    v[i] =
        op(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  // v[i]: columns 4i … 4i + 3 in each quarter.
  const __m512 low =
      op(_mm512_shuffle_f32x4(v[0], v[1], 0x88), _mm512_shuffle_f32x4(v[0], v[1], 0xdd));
  const __m512 high =
      op(_mm512_shuffle_f32x4(v[2], v[3], 0x88), _mm512_shuffle_f32x4(v[2], v[3], 0xdd));
  return op(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

// 2^y for y <= 0, relative error 1e-4, far below the rounding to bf16.
inline __m512 exp2_of(__m512 y) {
  const __m512 r = _mm512_reduce_ps(y, 1);  // y - floor(y)
  __m512 p = _mm512_set1_ps(7.802452e-2f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.2606716e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9583353e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.9992522e-1f));
  return _mm512_scalef_ps(p, y);
}

// x → weights 2^(x · unit - top) · v_scale; per lane their sums, before the scale and after
// rounding.
inline void weights_of_column(const AttendArgs& args, int64_t column, const float* x, float unit,
                              float top, uint16_t* weights, float* lanes, float* weight_lanes) {
  const __m512 units = _mm512_set1_ps(unit), tops = _mm512_set1_ps(top);
  const bool whole = sees_all(args, column);
  const auto ones = (__m512bh)_mm512_set1_epi32(0x3f803f80);
  __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  __m512 weight_sums = _mm512_setzero_ps();
  for (int64_t page = 0; page < args.n_pages; ++page, x += kPage) {
    const float* scales = args.v_scales[page];
    const __m512 e0 = exp2_of(_mm512_fmsub_ps(_mm512_load_ps(x), units, tops));
    const __m512 e1 = exp2_of(_mm512_fmsub_ps(_mm512_load_ps(x + kTile), units, tops));
    sums[0] = _mm512_add_ps(sums[0], e0);
    sums[1] = _mm512_add_ps(sums[1], e1);
    // What nobody sees yet may have a scale that is no number: 0 times that is not 0.
    const uint32_t mask = whole ? ~0u : seen(args, column, page);
    const __m512 w0 =
        _mm512_maskz_mul_ps(static_cast<__mmask16>(mask), e0, _mm512_loadu_ps(scales));
    const __m512 w1 = _mm512_maskz_mul_ps(static_cast<__mmask16>(mask >> 16), e1,
                                          _mm512_loadu_ps(scales + kTile));
    const __m512bh rounded = _mm512_cvtne2ps_pbh(w1, w0);
    _mm512_store_si512(weights + page * kPage, (__m512i)rounded);
    weight_sums = _mm512_add_ps(weight_sums, _mm512_dpbf16_ps(_mm512_setzero_ps(), rounded, ones));
  }
  _mm512_store_ps(lanes, _mm512_add_ps(sums[0], sums[1]));
  _mm512_store_ps(weight_lanes, weight_sums);
}

// State and chunk relative to the larger maximum: tops are whole, so the factors are exact.
inline void merge_sums(const AttendArgs& args, int64_t first, __mmask16 valid, __m512 top,
                       __m512 sum, Work& work) {
  const __m512 old_sum = _mm512_maskz_loadu_ps(valid, args.sum + first);
  const __m512 old_top = _mm512_maskz_loadu_ps(valid, args.top + first);
  const __m512 zero = _mm512_setzero_ps(), one = _mm512_set1_ps(1.0f);
  const __mmask16 had = _mm512_cmp_ps_mask(old_sum, zero, _CMP_NEQ_UQ);
  const __mmask16 has = _mm512_cmp_ps_mask(sum, zero, _CMP_NEQ_UQ);
  const __m512 larger = _mm512_mask_max_ps(top, had, old_top, top);
  const __m512 keep = _mm512_maskz_scalef_ps(had, one, _mm512_sub_ps(old_top, larger));
  const __m512 add = _mm512_maskz_scalef_ps(has, one, _mm512_sub_ps(top, larger));
  _mm512_store_ps(work.keep + first, keep);
  _mm512_store_ps(work.add + first, add);
  const __mmask16 changed = has & valid;
  _mm512_mask_storeu_ps(args.top + first, changed, larger);
  _mm512_mask_storeu_ps(args.sum + first, changed,
                        _mm512_add_ps(_mm512_mul_ps(old_sum, keep), _mm512_mul_ps(sum, add)));
}

void soften_group(const AttendArgs& args, int64_t first, Work& work) {
  const int64_t n = args.n_columns - first < kTile ? args.n_columns - first : kTile;
  alignas(64) float units[kTile], tops[kTile];
  // A query of zeros has scale 0: what is masked must stay far below.
  const auto valid = static_cast<__mmask16>(0xffffu >> (kTile - n));
  const __m512 unit =
      _mm512_max_ps(_mm512_maskz_loadu_ps(valid, args.q_scale + first), _mm512_set1_ps(1e-30f));
  const __m512 most =
      across_lanes(work.lanes[0], [](__m512 a, __m512 b) { return _mm512_max_ps(a, b); });
  // A whole number: states are then merged with powers of two.
  const __mmask16 any = _mm512_cmp_ps_mask(most, _mm512_set1_ps(kNever), _CMP_GT_OQ);
  const __m512 top = _mm512_maskz_roundscale_ps(any, _mm512_mul_ps(most, unit),
                                                _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
  _mm512_store_ps(units, unit);
  _mm512_store_ps(tops, top);
  for (int64_t c = 0; c < n; ++c)
    weights_of_column(args, first + c, work.scores[c], units[c], tops[c], work.weights[first + c],
                      work.lanes[0][c], work.lanes[1][c]);
  auto plus = [](__m512 a, __m512 b) { return _mm512_add_ps(a, b); };
  _mm512_store_ps(work.weight_sums + first, across_lanes(work.lanes[1], plus));
  merge_sums(args, first, valid, top, across_lanes(work.lanes[0], plus), work);
}
