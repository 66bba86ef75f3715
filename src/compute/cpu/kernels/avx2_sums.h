// What a column's sums begin with. Included by ISA files inside their anonymous namespace, after
// block_scales.h and avx2_panel.h.

// Blocks have no seed for an offset of 2^4, but that of 2^3 tells it.
constexpr bool doubles_seed(PackFormat format) {
  return format.offset_shift == 4 && group_of(format.scales) == 32;
}
// The format whose scales and offset are left for sums that began with begin().
constexpr PackFormat sums_format(PackFormat format) {
  return doubles_seed(format) ? PackFormat{format.quants, format.scales, 0} : format;
}
template <PackFormat kFormat>
[[gnu::always_inline]] inline Ints begin(const ActBlock& x, int part) {
  if constexpr (doubles_seed(kFormat)) {
    const Ints seed = _mm256_set1_epi32(x.seed[0]);
    return _mm256_add_epi32(seed, _mm256_sub_epi32(seed, _mm256_set1_epi32(kSeedBits)));
  } else {
    return _mm256_set1_epi32(seed_bits<kFormat>(x, part));
  }
}
