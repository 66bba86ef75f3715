// The tile instructions of amx_tiles.h in plain C++, for tests on processors without them, after
// Intel's Architecture Instruction Set Extensions Programming Reference. Sums of bf16 are rounded
// otherwise than by the processor. Included by amx_tiles.h.

struct EmulatedTile {
  int rows, row_bytes;
  alignas(64) uint8_t data[16][64];
};
inline EmulatedTile* tiles() {
  static thread_local EmulatedTile all[8];
  return all;
}

inline void configure_tiles(const TileConfig& config) {
  for (int i = 0; i < 8; ++i)
    tiles()[i] = {.rows = config.rows[i], .row_bytes = config.row_bytes[i], .data = {}};
}
template <int kTile>
inline void zero_tile() {
  __builtin_memset(tiles()[kTile].data, 0, sizeof tiles()[kTile].data);
}
template <int kTile>
inline void load_tile(const void* p, int64_t stride) {
  EmulatedTile& t = tiles()[kTile];
  zero_tile<kTile>();
  for (int r = 0; r < t.rows; ++r)
    __builtin_memcpy(t.data[r], static_cast<const uint8_t*>(p) + r * stride,
                     static_cast<size_t>(t.row_bytes));
}
template <int kTile>
inline void load_written_tile(const void* p, int64_t stride) {
  load_tile<kTile>(p, stride);
}
template <int kTile>
inline void store_tile(void* p, int64_t stride) {
  const EmulatedTile& t = tiles()[kTile];
  for (int r = 0; r < t.rows; ++r)
    __builtin_memcpy(static_cast<uint8_t*>(p) + r * stride, t.data[r],
                     static_cast<size_t>(t.row_bytes));
}
template <int kTile>
inline void store_whole_tile(int32_t (&to)[256]) {
  store_tile<kTile>(to, 64);
}

// C's lane (m, n) ← add(lane, A's lane (m, k), B's lane (k, n)) for all k in order.
template <int kC, int kA, int kB, class Lane, class Add>
inline void multiply_lanes(Add add) {
  EmulatedTile &c = tiles()[kC], &a = tiles()[kA], &b = tiles()[kB];
  for (int m = 0; m < c.rows; ++m)
    for (int k = 0; k < a.row_bytes / 4; ++k)
      for (int n = 0; n < c.row_bytes / 4; ++n) {
        Lane sum;
        __builtin_memcpy(&sum, c.data[m] + 4 * n, 4);
        sum = add(sum, a.data[m] + 4 * k, b.data[k] + 4 * n);
        __builtin_memcpy(c.data[m] + 4 * n, &sum, 4);
      }
}
inline float emulated_bf16(const uint8_t* p) {
  uint16_t half;
  __builtin_memcpy(&half, p, 2);
  const uint32_t bits = uint32_t{half} << 16;
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}
template <int kC, int kA, int kB>
inline void multiply_bf16() {
  multiply_lanes<kC, kA, kB, float>([](float sum, const uint8_t* a, const uint8_t* b) {
    for (int i = 0; i < 2; ++i)
      sum = __builtin_fmaf(emulated_bf16(a + 2 * i), emulated_bf16(b + 2 * i), sum);
    return sum;
  });
}
template <int kC, int kA, int kB>
inline void multiply_bytes() {
  multiply_lanes<kC, kA, kB, int32_t>([](int32_t sum, const uint8_t* a, const uint8_t* b) {
    for (int i = 0; i < 4; ++i) sum += static_cast<int8_t>(a[i]) * b[i];
    return sum;
  });
}
template <int kC, int kA, int kB>
inline void multiply_signed_bytes() {
  multiply_lanes<kC, kA, kB, int32_t>([](int32_t sum, const uint8_t* a, const uint8_t* b) {
    for (int i = 0; i < 4; ++i) sum += static_cast<int8_t>(a[i]) * static_cast<int8_t>(b[i]);
    return sum;
  });
}
