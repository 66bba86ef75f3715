// Queries times keys, 16 queries and a page of 32 tokens at a time. Included by
// isa_amx_attention.cpp inside its anonymous namespace.

// While a page's scores are computed, as many lines are fetched ahead as its keys and all scales
// have, and while its values are widened as many as those have. They are spread over the work:
// memory should never wait.
inline int64_t fetch_lines(const AttendArgs& args) {
  return 2 * args.groups + 4;
}
// Of those, after each load of tiles and each product; the rest while scores are scaled.
constexpr int kFetches = 3;  // of a step
inline int64_t fetch_part(int64_t lines) {
  return lines / 8;
}

// Integer sums of a page and the group's queries in tiles kC and kC + 1. kSteps: of 64 dims, with
// the queries in tiles 4 and 5; 0: any number, and lines that fill no tile are copied and padded.
template <int kSteps, int kC>
inline void multiply_page(const AttendArgs& args, const int8_t* q, const uint8_t* k, int64_t lines,
                          Work& work) {
  const int64_t panel = args.groups * 64;
  zero_tile<kC>();
  zero_tile<kC + 1>();
  if constexpr (kSteps > 0) {
    const int64_t part = fetch_part(lines);
    auto fetch = [&] {
      if (part > 0) args.ahead->fetch(part);
    };
    load_tile<6>(k, 64);
    load_tile<7>(k + panel, 64);
    fetch();
    multiply_bytes<kC, 4, 6>();
    fetch();
    multiply_bytes<kC + 1, 4, 7>();
    fetch();
    if constexpr (kSteps > 1) {
      load_tile<6>(k + 1024, 64);
      load_tile<7>(k + panel + 1024, 64);
      fetch();
      multiply_bytes<kC, 5, 6>();
      fetch();
      multiply_bytes<kC + 1, 5, 7>();
      fetch();
    }
  } else {
    for (int64_t g = 0; g < args.groups; g += kTile) {
      const int64_t left = args.groups - g;
      const uint8_t *one = k + g * 64, *two = k + panel + g * 64;
      if (left < kTile) {
        for (int64_t i = 0; i < kTile; ++i) {
          const auto mask = static_cast<__mmask64>(i < left ? -1 : 0);
          _mm512_store_si512(work.key_tail[0] + i * 64,
                             _mm512_maskz_loadu_epi8(mask, one + i * 64));
          _mm512_store_si512(work.key_tail[1] + i * 64,
                             _mm512_maskz_loadu_epi8(mask, two + i * 64));
        }
        one = work.key_tail[0], two = work.key_tail[1];
      }
      load_tile<4>(q + g * 4, args.q_stride);
      load_tile<6>(one, 64);
      load_tile<7>(two, 64);
      multiply_bytes<kC, 4, 6>();
      multiply_bytes<kC + 1, 4, 7>();
    }
  }
}
template <int kC>
inline void store_page(Work& work) {
  store_tile<kC>(work.products[kC / 2], kPage * sizeof(int32_t));
  store_tile<kC + 1>(work.products[kC / 2][0] + kTile, kPage * sizeof(int32_t));
}

inline bool sees_all(const AttendArgs& args, int64_t c) {
  return args.from[c] <= 0 && args.to[c] >= args.n_pages * kPage;
}
// Tokens of the page that column c sees.
inline uint32_t seen(const AttendArgs& args, int64_t c, int64_t page) {
  auto bits_from = [&](int64_t at) {
    at -= page * kPage;
    return ~uint64_t{0} << (at < 0 ? 0 : at > kPage ? kPage : at);
  };
  return static_cast<uint32_t>(bits_from(args.from[c]) & ~bits_from(args.to[c]));
}

// Products of a page → times the keys' scales, `kNever` for tokens that a column does not see.
// Meanwhile `lines` are fetched ahead, a few at a time.
template <int kColumns, bool kMasked>
inline void scale_page(const AttendArgs& args, int64_t first, int64_t page, int64_t lines,
                       __m512* most, Work& work) {
  const auto* scales = reinterpret_cast<const float*>(args.keys[page] + args.groups * 128);
  const __m512 scale[2] = {_mm512_loadu_ps(scales), _mm512_loadu_ps(scales + kTile)};
  const __m512 never = _mm512_set1_ps(kNever);
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) {
    uint32_t mask = 0;
    if constexpr (kMasked) mask = first + c < args.n_columns ? seen(args, first + c, page) : 0;
    const __m512i offset = _mm512_set1_epi32(work.offsets[c]);
    if (lines > 0) args.ahead->fetch(lines * (c + 1) / kColumns - lines * c / kColumns);
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512i sum =
          _mm512_add_epi32(_mm512_load_si512(work.products[page & 1][c] + j * kTile), offset);
      __m512 v = _mm512_cvtepi32_ps(sum);
      if constexpr (kMasked)
        v = _mm512_mask_mul_ps(never, static_cast<__mmask16>(mask >> (16 * j)), v, scale[j]);
      else
        v = _mm512_mul_ps(v, scale[j]);
      _mm512_store_ps(work.scores[c] + page * kPage + j * kTile, v);
      most[c] = _mm512_max_ps(v, most[c]);
    }
  }
}

// Of a group of up to kColumns columns. While a page is multiplied, the one before is stored and
// the one before that is scaled: a store of sums that are not ready would hold up what follows.
template <int kSteps, int kColumns, bool kMasked>
void score_columns(const AttendArgs& args, int64_t first, Work& work) {
  const int8_t* q = args.q + first * args.q_stride;
  if constexpr (kSteps > 0) load_tile<4>(q, args.q_stride);
  if constexpr (kSteps > 1) load_tile<5>(q + 64, args.q_stride);
  __m512 most[kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) most[c] = _mm512_set1_ps(kNever);
  const int64_t lines = args.ahead && first == 0 ? fetch_lines(args) : 0,
                rest = lines - kSteps * kFetches * fetch_part(lines);
  multiply_page<kSteps, 0>(args, q, args.keys[0], lines, work);
  for (int64_t page = 0; page <= args.n_pages; ++page) {
    const bool next = page + 1 < args.n_pages, store = page < args.n_pages;
    if (page & 1) {
      if (next) multiply_page<kSteps, 0>(args, q, args.keys[page + 1], lines, work);
      if (store) store_page<2>(work);
    } else {
      if (next) multiply_page<kSteps, 2>(args, q, args.keys[page + 1], lines, work);
      if (store) store_page<0>(work);
    }
    if (page > 0) scale_page<kColumns, kMasked>(args, first, page - 1, rest, most, work);
  }
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) _mm512_store_ps(work.lanes[0][c], most[c]);
}

template <int kSteps, int kColumns>
void score_group(const AttendArgs& args, int64_t first, Work& work) {
  bool whole = true;
  for (int64_t c = first; c < first + kColumns; ++c) {
    work.offsets[c - first] = c < args.n_columns ? args.q_offset[c] : 0;
    if (c < args.n_columns) whole &= sees_all(args, c);
  }
  if (whole)
    score_columns<kSteps, kColumns, false>(args, first, work);
  else
    score_columns<kSteps, kColumns, true>(args, first, work);
}
