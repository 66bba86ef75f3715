// The parts of 8-bit attention that are the same source on every instruction set. Included by each
// attention file inside its anonymous namespace, after vector_ops.h and definitions of
// fma_of(a, b, c) = a · b + c, larger_of, store_low_bytes and store_page.

// 2^x for x <= 0, relative error below 5e-6; what lies below -126 becomes 2^-126.
// x = n + r with |r| <= 1/2; 2^r as a minimax polynomial of degree 4 in r.
inline VecF exp2_of(VecF x) {
  const VecF low = splat(-126.0f), magic = splat(12582912.0f);
  x = larger_of(x, low);  // NaN becomes low
  const VecF shifted = x + magic;
  const VecF r = x - (shifted - magic);
  VecF p = splat(9.57010574e-3f);
  p = fma_of(p, r, splat(5.59178717e-2f));
  p = fma_of(p, r, splat(2.40247448e-1f));
  p = fma_of(p, r, splat(6.93121813e-1f));
  p = fma_of(p, r, splat(9.99999261e-1f));
  return (VecF)((VecI)p + ((VecI)shifted << 23));
}

inline float largest_lane(VecF v) {
  if constexpr (XH_LANES > 8) v = larger_of(rotate_lanes<8 % XH_LANES>(v), v);
  if constexpr (XH_LANES > 4) v = larger_of(rotate_lanes<4 % XH_LANES>(v), v);
  v = larger_of(rotate_lanes<2>(v), v);
  return larger_of(rotate_lanes<1>(v), v)[0];
}
#ifndef XH_OWN_LANES
// out[i] = the largest lane of v[i].
inline void largest_lanes(const VecF* v, float* out) {
  for (int64_t i = 0; i < kChunkPages; ++i) out[i] = largest_lane(v[i]);
}
#endif

constexpr int kPageVectors = kPage / XH_LANES;

// A column of soften_op: what it sees, and the pages that hold it.
struct Seen {
  int64_t from, to, first, end;
  Seen(const SoftenArgs& args, int64_t column)
      : from(args.from[column]),
        to(args.to[column]),
        first(from / kPage),
        end((to - 1) / kPage + 1) {
    if (from >= to) first = end = 0;
  }
};

// Scores that a column does not see become low, weights of pages that it does not see zero.
inline void hide(const SoftenArgs& args, int64_t column) {
  constexpr float kNever = -3.0e38f;
  const Seen seen(args, column);
  float* scores = args.scores + column * kChunk;
  for (int64_t i = seen.first * kPage; i < seen.from; ++i) scores[i] = kNever;
  for (int64_t i = seen.to; i < seen.end * kPage; ++i) scores[i] = kNever;
  for (int64_t page = 0; page < args.n_pages; ++page) {
    if (page >= seen.first && page < seen.end) continue;
    __builtin_memset(args.p + column * kChunk + page * kPage, 0, kPage);
    args.p_scale[page * kMaxColumns + column] = 0;
  }
}

inline float largest_score(const SoftenArgs& args, int64_t column) {
  const Seen seen(args, column);
  const float* scores = args.scores + column * kChunk;
  VecF best[kPageVectors];
#pragma GCC unroll 8
  for (int j = 0; j < kPageVectors; ++j) best[j] = load(scores + seen.first * kPage + j * XH_LANES);
  for (int64_t page = seen.first + 1; page < seen.end; ++page)
#pragma GCC unroll 8
    for (int j = 0; j < kPageVectors; ++j)
      best[j] = larger_of(load(scores + page * kPage + j * XH_LANES), best[j]);
  for (int j = 1; j < kPageVectors; ++j) best[0] = larger_of(best[j], best[0]);
  return largest_lane(best[0]);
}

// The scales of a page, 0 for tokens outside [from, to): where nobody wrote yet, or wrote for
// another sequence, anything may stand, and no weight makes up for a scale that is no number.
inline const float* seen_scales(const SoftenArgs& args, const Seen& seen, int64_t page,
                                float* edge) {
  const int64_t start = page * kPage;
  if (seen.from <= start && start + kPage <= seen.to) return args.v_scales[page];
  for (int64_t i = 0; i < kPage; ++i)
    edge[i] = seen.from <= start + i && start + i < seen.to ? args.v_scales[page][i] : 0.0f;
  return edge;
}

// A column's scores become 2^(score - top) · v_scale, of which `most` holds the largest of each
// page, lane by lane. Returns Σ 2^(score - top).
inline float weights_of(const SoftenArgs& args, int64_t column, VecF* most) {
  const Seen seen(args, column);
  const VecF top = splat(args.top[column]);
  VecF sums[kPageVectors];
#pragma GCC unroll 8
  for (int j = 0; j < kPageVectors; ++j) sums[j] = splat(0.0f);
  for (int64_t page = seen.first; page < seen.end; ++page) {
    float edge[kPage];
    const float* v_scales = seen_scales(args, seen, page, edge);
    float* scores = args.scores + column * kChunk + page * kPage;
#pragma GCC unroll 8
    for (int j = 0; j < kPageVectors; ++j) {
      const VecF e = exp2_of(load(scores + j * XH_LANES) - top);
      sums[j] += e;
      const VecF w = e * load(v_scales + j * XH_LANES);
      most[page] = j == 0 ? w : larger_of(w, most[page]);
      store(scores + j * XH_LANES, w);
    }
  }
  for (int j = 1; j < kPageVectors; ++j) sums[0] += sums[j];
  return sum_lanes(sums[0]);
}

// A column's weights in units of the page's largest / 255.
inline void round_weights(const SoftenArgs& args, int64_t column, const float* inverse,
                          const float* unit) {
  const Seen seen(args, column);
  const VecF magic = splat(12582912.0f);
  for (int64_t page = seen.first; page < seen.end; ++page) {
    const float* weights = args.scores + column * kChunk + page * kPage;
    VecI q[kPageVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kPageVectors; ++j)
      q[j] = (VecI)fma_of(load(weights + j * XH_LANES), splat(inverse[page]), magic);
    store_page(args.p + column * kChunk + page * kPage, q);
    args.p_scale[page * kMaxColumns + column] = unit[page];
  }
}

// In passes over all columns and pages: a page alone is one long chain from its scores by way of
// its largest weight to its bytes, and a processor sees only two or three of them at a time.
void soften_op(const SoftenArgs& args) {
  VecF most[kMaxColumns * kChunkPages];
  for (int64_t c = 0; c < args.columns; ++c) {
    hide(args, c);
    for (int64_t i = 0; i < kChunkPages; ++i) most[c * kChunkPages + i] = splat(0.0f);
  }
  auto for_seeing = [&](auto&& pass) {
    for (int64_t c = 0; c < args.columns; ++c)
      if (args.from[c] < args.to[c]) pass(c);
  };
  for_seeing([&](int64_t c) { args.top[c] = largest_score(args, c); });
  for_seeing([&](int64_t c) { args.sum[c] = weights_of(args, c, most + c * kChunkPages); });

  constexpr int64_t kPages = kMaxColumns * kChunkPages;
  alignas(64) float largest[kPages], inverse[kPages], unit[kPages];
  static_assert(kPages % XH_LANES == 0);
  for (int64_t c = 0; c < args.columns; ++c)
    largest_lanes(most + c * kChunkPages, largest + c * kChunkPages);
  for (int64_t i = 0; i < args.columns * kChunkPages; i += XH_LANES) {
    const VecF v = load(largest + i);
    const VecI some = v > splat(1e-30f);
    store(inverse + i, select(some, splat(255.0f) / v, splat(0.0f)));
    store(unit + i, select(some, v * splat(1.0f / 255.0f), splat(0.0f)));
  }
  for_seeing([&](int64_t c) {
    round_weights(args, c, inverse + c * kChunkPages, unit + c * kChunkPages);
  });
}

// The transform of blocks shorter than a vector.
inline void hadamard_of_few(float* x, int64_t n) {
  for (int64_t step = 1; step < (n & -n); step *= 2)
    for (int64_t i = 0; i < n; ++i)
      if (!(i & step)) {
        const float a = x[i], b = x[i + step];
        x[i] = a + b;
        x[i + step] = a - b;
      }
}
// Its steps from `step` on, in blocks of `block`; whole vectors.
inline void hadamard_steps(float* x, int64_t n, int64_t step, int64_t block) {
  for (; step < block; step *= 2)
    for (int64_t first = 0; first < n; first += 2 * step)
      for (int64_t i = first; i < first + step; i += XH_LANES) {
        const VecF a = load(x + i), b = load(x + i + step);
        store(x + i, a + b);
        store(x + i + step, a - b);
      }
}

#ifndef XH_OWN_HEAD
// Sums in lanes whose bit kBy is clear, differences in the others.
template <int kBy>
inline VecF butterfly(VecF v) {
  if constexpr (kBy < XH_LANES) {
    VecF sign = splat(1.0f);
    for (int i = 0; i < XH_LANES; ++i) sign[i] = i & kBy ? -1.0f : 1.0f;
    return v * sign + cross_lanes<kBy % XH_LANES>(v);
  } else {
    return v;
  }
}

void hadamard_op(float* x, int64_t n) {
  if ((n & -n) < XH_LANES) return hadamard_of_few(x, n);
  for (int64_t i = 0; i < n; i += XH_LANES)
    store(x + i, butterfly<8>(butterfly<4>(butterfly<2>(butterfly<1>(load(x + i))))));
  hadamard_steps(x, n, XH_LANES, n & -n);
}

float quantise_head_op(const float* x, int64_t n, int limit, int8_t* q, int32_t* sum) {
  const VecF magic = splat(12582912.0f), most = splat(static_cast<float>(limit));
  const int64_t whole = n / XH_LANES * XH_LANES;
  VecF best = splat(0.0f);
  for (int64_t i = 0; i < whole; i += XH_LANES) best = larger_of(abs_of(load(x + i)), best);
  if (whole < n) best = larger_of(abs_of(load_tail(x + whole, n - whole, 0.0f)), best);
  float largest = largest_lane(best);
  largest = largest < 1e30f ? largest : 1e30f;
  const float scale = largest / static_cast<float>(limit);
  const float inverse = largest > 1e-30f ? static_cast<float>(limit) / largest : 0.0f;
  VecF total = splat(0.0f);  // whole numbers below 2^24: exact in any order
  for (int64_t i = 0; i < n; i += XH_LANES) {
    VecF v = i < whole ? load(x + i) : load_tail(x + whole, n - whole, 0.0f);
    v = v * splat(inverse);
    v = larger_of(-larger_of(-v, -most), -most);
    const VecF shifted = v + magic;
    total += shifted - magic;
    if (i < whole) {
      store_low_bytes(reinterpret_cast<uint8_t*>(q + i), (VecI)shifted);
    } else {
      uint8_t bytes[XH_LANES];
      store_low_bytes(bytes, (VecI)shifted);
      for (int64_t j = 0; i + j < n; ++j) q[i + j] = static_cast<int8_t>(bytes[j]);
    }
  }
  *sum = static_cast<int32_t>(sum_lanes(total));
  return scale;
}
#endif

// Two bytes a lane: even bytes are multiplied in place, odd ones from the upper half down.
typedef uint16_t VecW __attribute__((vector_size(XH_LANES * 4), aligned(4), may_alias));
typedef uint8_t VecB __attribute__((vector_size(XH_LANES * 4), aligned(4), may_alias));

void unpack_values_op(const uint8_t* packed, const uint8_t* factors, int64_t panels,
                      int8_t* values) {
  constexpr int kBytes = XH_LANES * 4;
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int shift = panel % 2 * 4;
    const uint8_t* from = packed + panel / 2 * 512;
    for (int64_t line = 0; line < 8; ++line, from += 64, values += 64) {
      int32_t four;  // tokens' factors, the same for all dims
      __builtin_memcpy(&four, factors + panel * kPage + 4 * line, 4);
      const VecW factor = (VecW)splat_int(four);
      const VecW even = factor & 0xff, odd = factor & 0xff00;
      const VecB offset = (VecB)(factor << 3);
      for (int i = 0; i < 64; i += kBytes) {
        const VecW u = *reinterpret_cast<const VecW*>(from + i) >> shift & 0x0f0f;
        const VecB product = (VecB)((u & 0xff) * even | (u >> 8) * odd);
        *reinterpret_cast<VecB*>(values + i) = product - offset;
      }
    }
  }
}

#define XH_COLUMNS(f) \
  { f<1>, f<2>, f<3>, f<4>, f<5>, f<6>, f<7>, f<8>, f<9>, f<10>, f<11>, f<12>, }
