// The parts of 8-bit attention that are the same source on every instruction set. Included by each
// attention file inside its anonymous namespace, after vector_ops.h and definitions of
// fma_of(a, b, c) = a · b + c, larger_of, store_low_bytes and store_page.

// 2^x for x <= 0, relative error below 5e-6; what lies below -126 becomes 2^-126.
// x = n + r with |r| <= 1/2; 2^r as a minimax polynomial of degree 5 in r.
inline VecF exp2_of(VecF x) {
  const VecF low = splat(-126.0f), magic = splat(12582912.0f);
  x = larger_of(x, low);  // NaN becomes low
  const VecF shifted = x + magic;
  const VecF r = x - (shifted - magic);
  VecF p = splat(1.3333558e-3f);
  p = fma_of(p, r, splat(9.6181291e-3f));
  p = fma_of(p, r, splat(5.5504109e-2f));
  p = fma_of(p, r, splat(2.4022651e-1f));
  p = fma_of(p, r, splat(6.9314718e-1f));
  p = fma_of(p, r, splat(1.0f));
  return (VecF)((VecI)p + ((VecI)shifted << 23));
}

// The scales of a page, 0 for tokens outside [from, to): where nobody wrote yet, or wrote for
// another sequence, anything may stand, and no weight makes up for a scale that is no number.
inline const float* seen_scales(const SoftenArgs& args, int64_t page, float* edge) {
  const int64_t start = page * kPage;
  if (args.from <= start && start + kPage <= args.to) return args.v_scales[page];
  for (int64_t i = 0; i < kPage; ++i)
    edge[i] = args.from <= start + i && start + i < args.to ? args.v_scales[page][i] : 0.0f;
  return edge;
}

void soften_op(const SoftenArgs& args) {
  constexpr float kNever = -3.0e38f;
  constexpr int kVectors = kPage / XH_LANES;
  const int64_t first = args.from / kPage, last = (args.to - 1) / kPage;
  for (int64_t i = first * kPage; i < args.from; ++i) args.scores[i] = kNever;
  for (int64_t i = args.to; i < (last + 1) * kPage; ++i) args.scores[i] = kNever;

  VecF best[kVectors];
  for (int j = 0; j < kVectors; ++j) best[j] = splat(kNever);
  for (int64_t page = first; page <= last; ++page)
    for (int j = 0; j < kVectors; ++j)
      best[j] = larger_of(load(args.scores + page * kPage + j * XH_LANES), best[j]);
  for (int j = 1; j < kVectors; ++j) best[0] = larger_of(best[j], best[0]);
  const float top = max_lanes(best[0]);

  VecF sums[kVectors];
  for (int j = 0; j < kVectors; ++j) sums[j] = splat(0.0f);
  const VecF magic = splat(12582912.0f);
  for (int64_t page = first; page <= last; ++page) {
    VecF w[kVectors];
    float edge[kPage];
    const float* v_scales = seen_scales(args, page, edge);
    for (int j = 0; j < kVectors; ++j) {
      const VecF e = exp2_of(load(args.scores + page * kPage + j * XH_LANES) - splat(top));
      sums[j] += e;
      w[j] = e * load(v_scales + j * XH_LANES);
    }
    VecF most = w[0];
    for (int j = 1; j < kVectors; ++j) most = larger_of(w[j], most);
    const float largest = max_lanes(most);
    const float inverse = largest > 1e-30f ? 255.0f / largest : 0.0f;
    args.p_scale[page * kMaxColumns] = largest > 1e-30f ? largest * (1.0f / 255.0f) : 0.0f;
    VecI q[kVectors];
    for (int j = 0; j < kVectors; ++j) q[j] = (VecI)fma_of(w[j], splat(inverse), magic);
    store_page(args.p + page * kPage, q);
  }
  for (int j = 1; j < kVectors; ++j) sums[0] += sums[j];
  *args.top = top;
  *args.sum = sum_lanes(sums[0]);
}

// v[i] → v[i ^ kBy]
template <int kBy>
inline VecF cross_lanes(VecF v) {
#if XH_LANES == 16
  return __builtin_shufflevector(v, v, 0 ^ kBy, 1 ^ kBy, 2 ^ kBy, 3 ^ kBy, 4 ^ kBy, 5 ^ kBy,
                                 6 ^ kBy, 7 ^ kBy, 8 ^ kBy, 9 ^ kBy, 10 ^ kBy, 11 ^ kBy, 12 ^ kBy,
                                 13 ^ kBy, 14 ^ kBy, 15 ^ kBy);
#elif XH_LANES == 8
  return __builtin_shufflevector(v, v, 0 ^ kBy, 1 ^ kBy, 2 ^ kBy, 3 ^ kBy, 4 ^ kBy, 5 ^ kBy,
                                 6 ^ kBy, 7 ^ kBy);
#else
  return __builtin_shufflevector(v, v, 0 ^ kBy, 1 ^ kBy, 2 ^ kBy, 3 ^ kBy);
#endif
}
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
  const int64_t block = n & -n;
  if (block < XH_LANES) {
    for (int64_t step = 1; step < block; step *= 2)
      for (int64_t i = 0; i < n; ++i)
        if (!(i & step)) {
          const float a = x[i], b = x[i + step];
          x[i] = a + b;
          x[i + step] = a - b;
        }
    return;
  }
  for (int64_t i = 0; i < n; i += XH_LANES)
    store(x + i, butterfly<8>(butterfly<4>(butterfly<2>(butterfly<1>(load(x + i))))));
  for (int64_t step = XH_LANES; step < block; step *= 2)
    for (int64_t first = 0; first < n; first += 2 * step)
      for (int64_t i = first; i < first + step; i += XH_LANES) {
        const VecF a = load(x + i), b = load(x + i + step);
        store(x + i, a + b);
        store(x + i + step, a - b);
      }
}

#ifndef XH_OWN_HEAD
float quantise_head_op(const float* x, int64_t n, int limit, int8_t* q, int32_t* sum) {
  const VecF magic = splat(12582912.0f), most = splat(static_cast<float>(limit));
  const int64_t whole = n / XH_LANES * XH_LANES;
  VecF best = splat(0.0f);
  for (int64_t i = 0; i < whole; i += XH_LANES) best = larger_of(abs_of(load(x + i)), best);
  if (whole < n) best = larger_of(abs_of(load_tail(x + whole, n - whole, 0.0f)), best);
  float largest = max_lanes(best);
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
