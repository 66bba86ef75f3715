// What a block's integer sums mean, over vectors of as many rows as an instruction set takes at
// once. Included by ISA files inside their anonymous namespace, after act_blocks.h, their scales
// and definitions of Floats, Ints, multiply_add(a, b, c) = a · b + c and splat_floats.

// Sums of products start at 1.5 · 2^23 as a float's bits: adding an integer below 2^22 to those
// bits adds it to the float, which spares the conversion. s · (kMagic + dot) - s · kMagic is exact
// but for one rounding: s has at most 19 significant bits, kMagic two.
constexpr float kMagic = 12582912.0f;

// acc + sum · d of the weights · d of the activations.
[[gnu::always_inline]] inline Floats add_whole_sum(Floats acc, Floats sum, Floats weights,
                                                   float activations) {
  return multiply_add(sum * weights, splat_floats(activations), acc);
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
  Floats s[2], minus_magic[2], t[2], t_first;
  SuperScales super;
  // b, rows: as in unpack_scales.
  inline void load(const uint8_t* scales, int64_t b, auto... rows) {
    if constexpr (kWhole)
      unpack_whole<kFormat.scales>(scales, b, rows..., super, s);
    else
      unpack_scales<kFormat.scales>(scales, b, rows..., super, s, t);
    for (int h = 0; h < kGroups; ++h) {
      minus_magic[h] = s[h] * splat_floats(-kMagic);
      if constexpr (kMin && kFormat.offset_shift != 0)
        t[h] = s[h] * splat_floats(static_cast<float>(-(1 << kFormat.offset_shift)));
    }
    if constexpr (kMin && kTwo) t_first = t[0] - t[1];
  }
  // acc += part h of a column's sums, which end as bits of floats. With add_minimums, the order of
  // operations on a column is the batch-invariance contract.
  [[gnu::always_inline]] inline void add_part(Floats& acc, Ints sum, float d, int h) const {
    const int of = kTwo ? h : 0;
    const Floats part = multiply_add((Floats)sum, s[of], minus_magic[of]);
    acc = multiply_add(part, splat_floats(d), acc);
  }
  // acc += both parts of a column's sums, where those are whole numbers without an offset.
  [[gnu::always_inline]] inline void add_whole(Floats& acc, Ints first, Ints second,
                                               float d) const {
    const Floats one = multiply_add((Floats)first, s[0], minus_magic[0]),
                 two = multiply_add((Floats)second, s[1], minus_magic[1]);
    acc = add_whole_sum(acc, one + two, super.d, d);
  }
  // x: a block, or what stands for it in a ColumnBlock.
  template <class X>
  [[gnu::always_inline]] inline void add_minimums(Floats& acc, const X& x) const {
    if constexpr (!kMin) return;
    acc = multiply_add(t[kTwo], splat_floats(x.d_sum), acc);
    if constexpr (kTwo) acc = multiply_add(t_first, splat_floats(x.d_sum_first), acc);
  }

  // The same as vectors in memory, for blocks that serve many columns.
  static constexpr int kVectors = kGroups + (kMin ? kGroups : 0);
  inline void store(float* to) const {
    auto* vectors = reinterpret_cast<Floats*>(to);
    for (int h = 0; h < kGroups; ++h) vectors[h] = s[h];
    if constexpr (kMin) vectors[kGroups] = t[kTwo];
    if constexpr (kMin && kTwo) vectors[kGroups + 1] = t_first;
  }
  [[gnu::always_inline]] inline void fetch(const float* from) {
    const auto* vectors = reinterpret_cast<const Floats*>(from);
    for (int h = 0; h < kGroups; ++h) {
      s[h] = vectors[h];
      minus_magic[h] = s[h] * splat_floats(-kMagic);
    }
    if constexpr (kMin) t[kTwo] = vectors[kGroups];
    if constexpr (kMin && kTwo) t_first = vectors[kGroups + 1];
  }
};

// The bits that part `part` of a column's sums begins with.
template <PackFormat kFormat>
[[gnu::always_inline]] inline int32_t seed_bits(const ActBlock& x, int part) {
  using Scale = BlockScales<kFormat>;
  if constexpr (Scale::kWhole)
    return x.half_seed[part];
  else if constexpr (Scale::kSeed >= 0)
    return x.seed[Scale::kSeed];
  else
    return kSeedBits;
}
