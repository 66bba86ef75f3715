// Row operations, written once over compiler vectors of XH_LANES floats. Included by each ISA file
// inside its anonymous namespace, so every ISA gets its own copy and nothing leaks.
// Sums run in an order fixed by index and XH_LANES alone. No file below may call a library inline.

typedef float VecF __attribute__((vector_size(XH_LANES * 4), aligned(4), may_alias));
typedef int32_t VecI __attribute__((vector_size(XH_LANES * 4), aligned(4), may_alias));

inline VecF load(const float* p) {
  return *reinterpret_cast<const VecF*>(p);
}
inline void store(float* p, VecF v) {
  *reinterpret_cast<VecF*>(p) = v;
}
inline VecF splat(float x) {
  return VecF{} + x;
}
inline VecI splat_int(int32_t x) {
  return VecI{} + x;
}
// mask lanes are all ones or all zeros
inline VecF select(VecI mask, VecF a, VecF b) {
  return (VecF)((mask & (VecI)a) | (~mask & (VecI)b));
}
inline VecF max_of(VecF a, VecF b) {
  return select(a > b, a, b);
}
inline VecF abs_of(VecF a) {
  return (VecF)((VecI)a & splat_int(0x7fffffff));
}

// The last n < XH_LANES values, the rest filled with `fill`.
inline VecF load_tail(const float* p, int64_t n, float fill) {
  VecF v = splat(fill);
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
inline void store_tail(float* p, VecF v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}
// Lane i takes lane (i + kBy) mod XH_LANES.
template <int kBy>
inline VecF rotate_lanes(VecF v) {
  auto lane = [](int i) constexpr {
    return (i + kBy) % XH_LANES;
  };
#if XH_LANES == 16
  return __builtin_shufflevector(v, v, lane(0), lane(1), lane(2), lane(3), lane(4), lane(5),
                                 lane(6), lane(7), lane(8), lane(9), lane(10), lane(11), lane(12),
                                 lane(13), lane(14), lane(15));
#elif XH_LANES == 8
  return __builtin_shufflevector(v, v, lane(0), lane(1), lane(2), lane(3), lane(4), lane(5),
                                 lane(6), lane(7));
#else
  return __builtin_shufflevector(v, v, lane(0), lane(1), lane(2), lane(3));
#endif
}
inline float sum_lanes(VecF v) {
  if constexpr (XH_LANES > 8) v += rotate_lanes<8 % XH_LANES>(v);
  if constexpr (XH_LANES > 4) v += rotate_lanes<4 % XH_LANES>(v);
  v += rotate_lanes<2>(v);
  v += rotate_lanes<1>(v);
  return v[0];
}
inline float max_lanes(VecF v) {
  if constexpr (XH_LANES > 8) v = max_of(rotate_lanes<8 % XH_LANES>(v), v);
  if constexpr (XH_LANES > 4) v = max_of(rotate_lanes<4 % XH_LANES>(v), v);
  v = max_of(rotate_lanes<2>(v), v);
  v = max_of(rotate_lanes<1>(v), v);
  return v[0];
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

#ifndef XH_VECTORS_ONLY

// The bits of |x|: as integers they are ordered as the numbers are, and NaN is the largest.
inline VecI size_bits(VecF x) {
  return (VecI)x & splat_int(0x7fffffff);
}
inline VecI larger_bits(VecI a, VecI b) {
  const VecI mask = a > b;
  return (mask & a) | (~mask & b);
}
inline float largest(VecI bits) {
  if constexpr (XH_LANES > 8)
    bits = larger_bits((VecI)rotate_lanes<8 % XH_LANES>((VecF)bits), bits);
  if constexpr (XH_LANES > 4)
    bits = larger_bits((VecI)rotate_lanes<4 % XH_LANES>((VecF)bits), bits);
  bits = larger_bits((VecI)rotate_lanes<2>((VecF)bits), bits);
  bits = larger_bits((VecI)rotate_lanes<1>((VecF)bits), bits);
  return ((VecF)bits)[0];
}
// round(v · inverse), 0 where that is no number.
inline VecF rounded_units(VecF v, float inverse) {
  const VecF magic = splat(12582912.0f);
  const VecF rounded = (v * splat(inverse) + magic) - magic;
  return select(rounded == rounded, rounded, splat(0.0f));
}

// e^x within 2 ulp for x in [-87, 88]; below, e^-87 (1.6e-38) falls to zero; above, e^88.
// x = n·ln2 + r; Taylor polynomial of degree 7 on |r| <= ln2/2.
inline VecF exp_of(VecF x) {
  const VecF low = splat(-87.0f), high = splat(88.0f), magic = splat(12582912.0f);
  VecI underflow = x < low;
  VecI not_a_number = x != x;
  VecF original = x;
  x = select(x > low, x, low);
  x = select(x < high, x, high);
  VecF n = (x * splat(1.44269504f) + magic) - magic;
  VecF r = x - n * splat(0.693359375f);
  r = r - n * splat(-2.12194440e-4f);
  VecF p = splat(1.0f / 5040);
  p = p * r + splat(1.0f / 720);
  p = p * r + splat(1.0f / 120);
  p = p * r + splat(1.0f / 24);
  p = p * r + splat(1.0f / 6);
  p = p * r + splat(0.5f);
  p = p * r + splat(1.0f);
  p = p * r + splat(1.0f);
  VecI exponent = (__builtin_convertvector(n, VecI) + 127) << 23;
  VecF y = p * (VecF)exponent;
  y = select(underflow, splat(0.0f), y);
  return select(not_a_number, original, y);
}

#ifdef XH_OWN_SILU
inline VecF silu_of(VecF x);
#else
inline VecF silu_of(VecF x) {
  return x / (splat(1.0f) + exp_of(-x));
}
#endif
// tanh through exp, for GELU's tanh form.
inline VecF tanh_of(VecF x) {
  VecF e = exp_of(abs_of(x) * splat(-2.0f));
  VecF t = (splat(1.0f) - e) / (splat(1.0f) + e);
  return select(x < splat(0.0f), -t, t);
}
inline VecF gelu_tanh_of(VecF x) {
  VecF inner = splat(0.79788456f) * (x + splat(0.044715f) * x * x * x);
  return splat(0.5f) * x * (splat(1.0f) + tanh_of(inner));
}
// erf after Abramowitz & Stegun 7.1.26, |error| <= 1.5e-7.
inline VecF gelu_of(VecF x) {
  VecF z = abs_of(x) * splat(0.70710678f);
  VecF t = splat(1.0f) / (splat(1.0f) + splat(0.3275911f) * z);
  VecF p = splat(1.061405429f);
  p = p * t + splat(-1.453152027f);
  p = p * t + splat(1.421413741f);
  p = p * t + splat(-0.284496736f);
  p = p * t + splat(0.254829592f);
  VecF erf = splat(1.0f) - p * t * exp_of(-z * z);
  erf = select(x < splat(0.0f), -erf, erf);
  return splat(0.5f) * x * (splat(1.0f) + erf);
}
inline VecF activate(int activation, VecF x) {
  return activation == 0 ? silu_of(x) : activation == 1 ? gelu_of(x) : gelu_tanh_of(x);
}

#include "compute/cpu/kernels/act_blocks.h"

// q = round(x · 127 / amax) of kVectors vectors; `rounded` gets the same as floats. Returns amax,
// the largest |x|; NaN where a value is, so that it reaches the result.
template <int kVectors>
inline float quantise_values(const float* x, int8_t* q, VecF* rounded) {
  typedef int8_t VecB __attribute__((vector_size(XH_LANES), aligned(1), may_alias));
  VecF v[kVectors];
  VecI best = splat_int(0);
  for (int i = 0; i < kVectors; ++i) {
    v[i] = load(x + i * XH_LANES);
    best = larger_bits(size_bits(v[i]), best);
  }
  const float amax = largest(best);
  const float inverse = amax > 0 ? 127.0f / amax : 0.0f;
  for (int i = 0; i < kVectors; ++i) {
    rounded[i] = rounded_units(v[i], inverse);
    const VecI units = __builtin_convertvector(rounded[i], VecI);
    *reinterpret_cast<VecB*>(q + i * XH_LANES) = __builtin_convertvector(units, VecB);
  }
  return amax;
}
// Σ of whole numbers up to 127 · 16: exact in any order.
template <int kVectors>
inline float sum_of(const VecF* v) {
  VecF sum = v[0];
  for (int i = 1; i < kVectors; ++i) sum += v[i];
  return sum_lanes(sum);
}

#ifndef XH_OWN_QUANTISE
void quantise_op(const float* x, int64_t n_blocks, ActBlock* out, int64_t stride) {
  constexpr int kVectors = kBlock / XH_LANES, kHalf = kVectors / 2;
  VecF rounded[kVectors];
  for (int64_t b = 0; b < n_blocks; ++b, x += kBlock, out += stride) {
    const float amax = quantise_values<kVectors>(x, out->q, rounded);
    const auto first = static_cast<int32_t>(sum_of<kHalf>(rounded));
    const auto second = static_cast<int32_t>(sum_of<kHalf>(rounded + kHalf));
    finish_block(out, amax, 127, first, first + second);
  }
}
#endif

void rms_norm_op(const float* x, const float* w, float eps, int64_t n, float* y) {
  constexpr int kChains = 4;
  VecF sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = splat(0.0f);
  int64_t i = 0;
  for (; i + kChains * XH_LANES <= n; i += kChains * XH_LANES)
    for (int c = 0; c < kChains; ++c) {
      const VecF v = load(x + i + c * XH_LANES);
      sums[c] += v * v;
    }
  for (; i + XH_LANES <= n; i += XH_LANES) sums[0] += load(x + i) * load(x + i);
  const int64_t whole = i;
  if (whole < n) {
    VecF v = load_tail(x + whole, n - whole, 0.0f);
    sums[1] += v * v;
  }
  const float total = sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  const float factor = 1.0f / __builtin_sqrtf(total / static_cast<float>(n) + eps);
  for (i = 0; i < whole; i += XH_LANES) {
    VecF v = load(x + i) * splat(factor);
    store(y + i, w ? v * load(w + i) : v);
  }
  for (; i < n; ++i) y[i] = w ? x[i] * factor * w[i] : x[i] * factor;
}

void gated_op(int activation, const float* gate, const float* up, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + XH_LANES <= n; i += XH_LANES)
    store(y + i, activate(activation, load(gate + i)) * load(up + i));
  if (i < n)
    store_tail(y + i,
               activate(activation, load_tail(gate + i, n - i, 0)) * load_tail(up + i, n - i, 0),
               n - i);
}

void scale_op(const float* x, float a, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + XH_LANES <= n; i += XH_LANES) store(y + i, load(x + i) * splat(a));
  for (; i < n; ++i) y[i] = x[i] * a;
}

void scale_add_op(float* y, float a, const float* x, float b, int64_t n) {
  int64_t i = 0;
  for (; i + XH_LANES <= n; i += XH_LANES)
    store(y + i, load(y + i) * splat(a) + load(x + i) * splat(b));
  for (; i < n; ++i) y[i] = y[i] * a + x[i] * b;
}

float max_op(const float* x, int64_t n) {
  float best = x[0];
  int64_t i = 0;
  if (n >= XH_LANES) {
    VecF lanes = load(x);
    for (i = XH_LANES; i + XH_LANES <= n; i += XH_LANES) lanes = max_of(load(x + i), lanes);
    best = max_lanes(lanes);
  }
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

float exp_sum_op(const float* x, int64_t n, float shift, float* p, int64_t stride) {
  VecF sums = splat(0.0f);
  for (int64_t i = 0; i < n; i += XH_LANES) {
    int64_t count = n - i < XH_LANES ? n - i : XH_LANES;
    VecF v = count == XH_LANES ? load(x + i) : load_tail(x + i, count, shift - 200.0f);
    VecF e = exp_of(v - splat(shift));
    sums += e;
    if (stride == 1 && count == XH_LANES)
      store(p + i, e);
    else
      for (int64_t j = 0; j < count; ++j) p[(i + j) * stride] = e[j];
  }
  return sum_lanes(sums);
}

void rotate_half_op(float* x, const float* cos, const float* sin, int64_t half) {
  int64_t i = 0;
  for (; i + XH_LANES <= half; i += XH_LANES) {
    VecF a = load(x + i), b = load(x + half + i), c = load(cos + i), s = load(sin + i);
    store(x + i, a * c - b * s);
    store(x + half + i, b * c + a * s);
  }
  for (; i < half; ++i) {
    float a = x[i], b = x[half + i];
    x[i] = a * cos[i] - b * sin[i];
    x[half + i] = b * cos[i] + a * sin[i];
  }
}

// Lanes (f, f, f + 1, f + 1, …).
template <int f>
inline VecF lanes_twice(VecF v) {
#if XH_LANES == 16
  return __builtin_shufflevector(v, v, f, f, f + 1, f + 1, f + 2, f + 2, f + 3, f + 3, f + 4, f + 4,
                                 f + 5, f + 5, f + 6, f + 6, f + 7, f + 7);
#elif XH_LANES == 8
  return __builtin_shufflevector(v, v, f, f, f + 1, f + 1, f + 2, f + 2, f + 3, f + 3);
#else
  return __builtin_shufflevector(v, v, f, f, f + 1, f + 1);
#endif
}

void rotate_pairs_op(float* x, const float* cos, const float* sin, int64_t half) {
  VecF sign = splat(1.0f);
  for (int i = 0; i < XH_LANES; i += 2) sign[i] = -1.0f;
  auto rotate = [&](float* pairs, VecF c, VecF s) {
    const VecF v = load(pairs);
    store(pairs, v * c + cross_lanes<1>(v) * (s * sign));
  };
  int64_t i = 0;
  for (; i + XH_LANES <= half; i += XH_LANES) {
    const VecF c = load(cos + i), s = load(sin + i);
    rotate(x + 2 * i, lanes_twice<0>(c), lanes_twice<0>(s));
    rotate(x + 2 * i + XH_LANES, lanes_twice<XH_LANES / 2>(c), lanes_twice<XH_LANES / 2>(s));
  }
  for (; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

#endif
