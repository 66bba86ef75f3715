// What a block's integer sums mean. After avx512_scales.h and act_blocks.h, included by ISA files
// inside their anonymous namespace.

// Sums of products start at 1.5 · 2^23 as a float's bits: adding an integer below 2^22 to those
// bits adds it to the float, which spares the conversion. s · (kMagic + dot) - s · kMagic is exact
// but for one rounding: s has at most 19 significant bits, kMagic two.
constexpr float kMagic = 12582912.0f;

// acc + sum · d of the weights · d of the activations.
[[gnu::always_inline]] inline __m512 add_whole_sum(__m512 acc, __m512 sum, __m512 weights,
                                                   float activations) {
  return _mm512_fmadd_ps(_mm512_mul_ps(sum, weights), _mm512_set1_ps(activations), acc);
}

// What a block's scales mean for all columns. An offset is a minimum too: s · (u - o) = s · u + t
// with t = -s · o, exactly; unless the activations have a seed for it. Of 16-groups' minimums: the
// second, and the first beyond it.
template <PackFormat kFormat>
struct BlockScales {
  static constexpr int kGroups = 32 / group_of(kFormat.scales);
  static constexpr bool kTwo = kGroups == 2;
  // Whether a block's weights are d · W with whole numbers W of up to 13 bits: then its sum is a
  // whole number below 2^24, exact as a float, and scaled once.
  static constexpr bool kWhole = is_whole(kFormat);
  static constexpr int kSeed = kTwo ? -1 : seed_of(kFormat.offset_shift);
  static constexpr bool kMin =
      has_min(kFormat.scales) || (kFormat.offset_shift != 0 && kSeed < 0 && !kWhole);
  // Sums over halves of a block, where those differ in some scale.
  static constexpr int kParts = kTwo ? 2 : 1;
  __m512 s[2], minus_magic[2], t[2], t_first;
  SuperScales super;
  // b as in unpack_scales.
  inline void load(const uint8_t* scales, int64_t b) {
    if constexpr (kWhole)
      unpack_whole<kFormat.scales>(scales, b, super, s);
    else
      unpack_scales<kFormat.scales>(scales, b, super, s, t);
    for (int h = 0; h < kGroups; ++h) {
      minus_magic[h] = _mm512_mul_ps(s[h], _mm512_set1_ps(-kMagic));
      if constexpr (kMin && kFormat.offset_shift != 0)
        t[h] =
            _mm512_mul_ps(s[h], _mm512_set1_ps(static_cast<float>(-(1 << kFormat.offset_shift))));
    }
    if constexpr (kMin && kTwo) t_first = _mm512_sub_ps(t[0], t[1]);
  }
  // acc += part h of a column's sums, which end as bits of floats. With add_minimums, the order of
  // operations on a column is the batch-invariance contract.
  [[gnu::always_inline]] inline void add_part(__m512& acc, __m512i sum, float d, int h) const {
    const int of = kTwo ? h : 0;
    const __m512 part = _mm512_fmadd_ps(_mm512_castsi512_ps(sum), s[of], minus_magic[of]);
    acc = _mm512_fmadd_ps(part, _mm512_set1_ps(d), acc);
  }
  // acc += both parts of a column's sums, where those are whole numbers without an offset.
  [[gnu::always_inline]] inline void add_whole(__m512& acc, __m512i first, __m512i second,
                                               float d) const {
    const __m512 one = _mm512_fmadd_ps(_mm512_castsi512_ps(first), s[0], minus_magic[0]),
                 two = _mm512_fmadd_ps(_mm512_castsi512_ps(second), s[1], minus_magic[1]);
    acc = add_whole_sum(acc, _mm512_add_ps(one, two), super.d, d);
  }
  // x: a block, or what stands for it in a ColumnBlock.
  template <class X>
  [[gnu::always_inline]] inline void add_minimums(__m512& acc, const X& x) const {
    if constexpr (!kMin) return;
    acc = _mm512_fmadd_ps(t[kTwo], _mm512_set1_ps(x.d_sum), acc);
    if constexpr (kTwo) acc = _mm512_fmadd_ps(t_first, _mm512_set1_ps(x.d_sum_first), acc);
  }

  // The same as vectors in memory, for blocks that serve many columns.
  static constexpr int kVectors = kGroups + (kMin ? kGroups : 0);
  inline void store(float* to) const {
    for (int h = 0; h < kGroups; ++h) _mm512_store_ps(to + 16 * h, s[h]);
    if constexpr (kMin) _mm512_store_ps(to + 16 * kGroups, t[kTwo]);
    if constexpr (kMin && kTwo) _mm512_store_ps(to + 16 * kGroups + 16, t_first);
  }
  [[gnu::always_inline]] inline void fetch(const float* from) {
    for (int h = 0; h < kGroups; ++h) {
      s[h] = _mm512_load_ps(from + 16 * h);
      minus_magic[h] = _mm512_mul_ps(s[h], _mm512_set1_ps(-kMagic));
    }
    if constexpr (kMin) t[kTwo] = _mm512_load_ps(from + 16 * kGroups);
    if constexpr (kMin && kTwo) t_first = _mm512_load_ps(from + 16 * kGroups + 16);
  }
};
