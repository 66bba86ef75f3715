// How a panel is read and its sums are written. Included by ISA files inside their anonymous
// namespace.

using Floats = __m512;
using Ints = __m512i;
inline Floats multiply_add(Floats a, Floats b, Floats c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Floats splat_floats(float x) {
  return _mm512_set1_ps(x);
}

// The processor's own prefetchers stop at page borders; a panel read once from memory needs more.
// How far and where to, GemmArgs::ahead says (docs/performance.md); products in tiles, which have
// none, take its default.
constexpr int kPrefetchAhead = WeightFetch{}.bytes;

// Always inline: GCC takes a call that only prefetches for one without an effect, and drops it. Not
// behind a condition: between the loads of a block fetches cost less than before them. kLevel: of
// the cache.
template <int kBytes, int kLevel = 2>
[[gnu::always_inline]] inline void prefetch(const uint8_t* p) {
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(p + i, 0, 4 - kLevel);
}

// Bring sums of a panel to y: of one column, of the first `columns` columns.
[[gnu::always_inline]] inline void finish(const GemmArgs& args, int64_t column, __m512 sums) {
  const auto mask = static_cast<__mmask16>((1u << args.rows) - 1);
  float* y = args.y + column * args.y_stride;
  if (args.bias) sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(mask, args.bias));
  if (args.add) sums = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), sums);
  _mm512_mask_storeu_ps(y, mask, sums);
}

template <int kColumns>
[[gnu::always_inline]] inline void finish(const GemmArgs& args, const __m512* acc,
                                          int64_t columns = kColumns) {
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) {
    if (c >= columns) break;
    finish(args, c, acc[c]);
  }
}
