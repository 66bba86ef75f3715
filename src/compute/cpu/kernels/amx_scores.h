// Queries times keys, 16 queries and a page of 32 tokens at a time, and on to weights. Included by
// isa_amx_attention.cpp inside its anonymous namespace.

// While a page's scores are computed, a share is fetched ahead of as many lines as its keys and all
// scales have, and while its values are widened of as many as those have: memory should never wait.
inline int64_t fetch_lines(const AttendArgs& args) {
  if (!args.ahead) return 0;
  const int64_t n_groups = (args.n_columns + kTile - 1) / kTile;
  return (args.ahead->share(2 * args.groups + 4) + n_groups - 1) / n_groups;
}
// Of those, after each load of tiles and each product; the rest while weights are computed.
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
inline void store_products(Work& work) {
  store_tile<kC>(work.products[kC / 2], kPage * sizeof(int32_t));
  store_tile<kC + 1>(work.products[kC / 2][0] + kTile, kPage * sizeof(int32_t));
}

// All pages and a group of up to kColumns columns, to weights. While a page is multiplied, the one
// before is stored and the one before that is softened: a store of sums that are not ready would
// hold up what follows.
template <int kSteps, int kColumns>
void score_group(const AttendArgs& args, int64_t first, Work& work) {
  const int8_t* q = args.q + first * args.q_stride;
  if constexpr (kSteps > 0) load_tile<4>(q, args.q_stride);
  if constexpr (kSteps > 1) load_tile<5>(q + 64, args.q_stride);
  const int64_t lines = fetch_lines(args), rest = lines - kSteps * kFetches * fetch_part(lines);
  multiply_page<kSteps, 0>(args, q, args.keys[0], lines, work);
  for (int64_t page = 0; page <= args.n_pages; ++page) {
    const bool next = page + 1 < args.n_pages, store = page < args.n_pages;
    if (page & 1) {
      if (next) multiply_page<kSteps, 0>(args, q, args.keys[page + 1], lines, work);
      if (store) store_products<2>(work);
    } else {
      if (next) multiply_page<kSteps, 2>(args, q, args.keys[page + 1], lines, work);
      if (store) store_products<0>(work);
    }
    if (page > 0) soften_page<kColumns>(args, first, page - 1, rest, work);
  }
}
