// What a column has of a whole chunk: where its softmax starts, its sums, its part in the state.
// Included by isa_amx_attention.cpp inside its anonymous namespace.

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

inline const float* key_scales(const AttendArgs& args, int64_t page) {
  return reinterpret_cast<const float*>(args.keys[page] + args.groups * 128);
}

inline bool sees_all(const AttendArgs& args, int64_t c) {
  return args.from[c] <= 0 && args.to[c] >= args.n_pages * kPage;
}

void begin_columns(const AttendArgs& args, Work& work) {
  const int64_t n = (args.n_columns + kTile - 1) / kTile * kTile;
  std::fill_n(work.whole, kMaxGroups, true);
  for (int64_t c = 0; c < n; ++c) {
    const bool valid = c < args.n_columns;
    work.units[c] = valid ? args.q_scale[c] : 0;
    work.offsets[c] = valid ? static_cast<float>(args.q_offset[c]) * args.q_scale[c] : 0;
    work.tops[c] = 0;
    if (valid && !sees_all(args, c)) work.whole[c / kTile] = false;
  }
}

// Lanes → sums, in the same order for every column.
void add_up(const AttendArgs& args, Work& work) {
  auto plus = [](__m512 a, __m512 b) { return _mm512_add_ps(a, b); };
  for (int64_t first = 0; first < args.n_columns; first += kTile) {
    _mm512_store_ps(work.totals + first, across_lanes(work.lanes[0] + first, plus));
    _mm512_store_ps(work.weight_sums + first, across_lanes(work.lanes[1] + first, plus));
  }
}

// The largest score of a column, rounded up.
float exact_top(const AttendArgs& args, int64_t c, float unit) {
  const int8_t* q = args.q + c * args.q_stride;
  float most = kNever;
  for (int64_t t = args.from[c] < 0 ? 0 : args.from[c]; t < args.to[c]; ++t) {
    const uint8_t* panel =
        args.keys[t / kPage] + t % kPage / kTile * args.groups * 64 + t % kTile * 4;
    int32_t sum = args.q_offset[c];
    for (int64_t i = 0; i < args.groups * 4; ++i) sum += panel[i / 4 * 64 + i % 4] * q[i];
    const float scale = key_scales(args, t / kPage)[t % kPage];
    most = std::max(most, static_cast<float>(sum) * scale * unit);
  }
  return std::ceil(most);
}

// Columns whose scores lie so far above those of their first page that sums might overflow get
// their exact top. True if there are any: all is to be computed once more.
bool outgrown(const AttendArgs& args, Work& work) {
  for (int64_t c = 0; c < args.n_columns; ++c) {
    if (work.totals[c] < 0x1p60f) continue;
    work.tops[c] = exact_top(args, c, work.units[c]);
    work.tops_known = true;
  }
  return work.tops_known;
}

// State and chunk relative to the larger maximum: tops are whole, so the factors are exact.
void merge_sums(const AttendArgs& args, int64_t first, Work& work) {
  const int64_t n = args.n_columns - first < kTile ? args.n_columns - first : kTile;
  const auto valid = static_cast<__mmask16>(0xffffu >> (kTile - n));
  const __m512 top = _mm512_load_ps(work.tops + first), sum = _mm512_load_ps(work.totals + first);
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
