// Attention over 8-bit keys and values, per instruction set. All sums of products are integers, so
// they are the same whatever the tile; what is float is done per column in an order of its own.
//
// A page holds 32 tokens of one kv head:
//   K: 2 panels of 16 tokens; a panel is k_pad/4 lines of 64 bytes; in a line, token r owns bytes
//      4r … 4r+3, four consecutive dims, stored as value + 128, |value| <= 127. Then 32 float
//      scales, one per token.
//   V: panels of 16 dims; a panel is 8 lines of 64 bytes; in a line, dim r owns bytes 4r … 4r+3,
//      four consecutive tokens, signed, |value| <= 64. 32 float scales follow elsewhere.
// 4-bit values are unpacked to this form, page by page, right before they are used:
//   Panels lie in pairs; a pair is 8 lines of 64 bytes whose low halves are the line of the first
//   panel and whose high halves that of the second, as value + 8, |value| <= 7. Then 32 factors
//   of a byte for each panel, one per token, 1 … 9: the 8-bit value is factor · 4-bit value,
//   exactly, so |value| <= 63. 32 float scales follow elsewhere.
// V keeps 7 bits so that two products with 8-bit weights fit 16 bits on AVX2 (2·255·64 < 2^15).
// Weights of the softmax are unsigned 8-bit with a scale per page of 32 tokens and column: with one
// scale per chunk, a single large weight (the "sink" at a text's begin) would round the rest away.
#pragma once

#include <cstdint>

namespace xh::cpu {

constexpr int64_t kChunk = 256;  // tokens of a chunk
constexpr int64_t kPage = 32;    // tokens of a page
constexpr int kMaxColumns = 12;  // of one kernel call
constexpr int kKeyLimit = 127;   // largest |value|, of queries as well
constexpr int kValueLimit = 64;
constexpr int kNibbleLimit = 7;  // 4-bit values
constexpr int kMaxFactor = 9;
constexpr int64_t kChunkPages = kChunk / kPage;

// Memory that will be needed, to be fetched run by run: a kernel fetches a line of it for each line
// that it reads.
struct Ahead {
  struct Run {
    const uint8_t *begin, *end;  // a multiple of 64 bytes
  };
  const uint8_t *at = nullptr, *end = nullptr;  // what is left of this run
  const Run* runs = nullptr;                    // those that follow
  int64_t n_runs = 0;
  int64_t calls = 1;  // kernel calls that share the fetching
  bool near = false;  // into the first-level cache, not the second

  int64_t share(int64_t lines) const { return (lines + calls - 1) / calls; }
  // Always inline: see avx512_panel.h.
  [[gnu::always_inline]] void fetch(int64_t lines) {
    for (; lines > 0; --lines, at += 64) {
      if (at == end) {
        if (n_runs == 0) return;
        at = runs->begin;
        end = runs->end;
        ++runs;
        --n_runs;
      }
      if (near)
        __builtin_prefetch(at, 0, 3);
      else
        __builtin_prefetch(at, 0, 2);
    }
  }
};

// scores[c][t] = (Σ k·q[c]) · scale of token t · q_scale[c], for whole pages.
struct ScoreArgs {
  const uint8_t* const* pages;  // K of each page
  Ahead* ahead;                 // or null
  int64_t n_pages;
  int64_t groups;   // k_pad / 4
  const int8_t* q;  // column c at q + c · q_stride
  int64_t q_stride;
  const float* q_scale;     // (columns)
  const int32_t* q_offset;  // (columns): -128 · Σ q
  float* scores;            // column c at scores + c · kChunk
};

// Scores of [from, to) → weights, each 2^(score - top) · v_scale, in units of p_scale; zero
// outside.
struct SoftenArgs {
  float* scores;  // column c at scores + c · kChunk; overwritten
  int64_t columns, n_pages;
  const int32_t *from, *to;      // of each column, to <= n_pages · kPage; from >= to: it sees none
  const float* const* v_scales;  // of each page, (kPage)
  uint8_t* p;                    // column c at p + c · kChunk
  float* p_scale;                // [page · kMaxColumns + c]
  float* top;                    // (columns), and the next: left alone where a column sees none
  float* sum;                    // Σ 2^(score - top)
};

// acc[c][d] = Σ over pages of p_scale · Σ p · v.
struct WeighArgs {
  const int8_t* const* pages;  // V of each page
  Ahead* ahead;                // or null
  int64_t n_pages;
  int64_t panels;        // v_pad / 16
  const uint8_t* p;      // column c at p + c · kChunk
  const float* p_scale;  // [page · kMaxColumns + c]
  float* acc;            // column c at acc + c · acc_stride
  int64_t acc_stride;
};

// A chunk of keys and values for many columns at once: scores, softmax and weighted sums together,
// added to the columns' states. A column's state is top, sum and acc as soften and weigh leave
// them, empty where sum is 0; top is a whole number, not far from the largest score. Its bits do
// not depend on the other columns.
struct AttendArgs {
  const uint8_t* const* keys;    // K of each page
  const int8_t* const* values;   // V of each page
  const float* const* v_scales;  // of each page, (kPage)
  Ahead* ahead;                  // or null
  int64_t n_pages;
  int64_t groups;     // k_pad / 4
  int64_t panels;     // v_pad / 16
  int64_t n_columns;  // at most kAttendColumns
  const int8_t* q;    // column c at q + c · q_stride; zeros up to a multiple of 64. Readable for a
  int64_t q_stride;   // multiple of 16 columns, whatever those hold
  const float* q_scale;
  const int32_t* q_offset;
  const int32_t *from, *to;  // column c sees tokens [from, to) of the pages, perhaps none
  float *top, *sum;
  float* acc;  // column c at acc + c · acc_stride
  int64_t acc_stride;
  void* scratch;  // kAttendScratch bytes, aligned to 64
};
constexpr int64_t kAttendColumns = 48;
constexpr int64_t kAttendScratch = 64 << 10;

struct AttentionKernels {
  int score_columns, weigh_columns;  // most columns of one call
  void (*score[kMaxColumns])(const ScoreArgs&);
  void (*weigh[kMaxColumns])(const WeighArgs&);
  void (*soften)(const SoftenArgs&);
  // Walsh-Hadamard transform, not normalised, of x in blocks of the largest power of two that
  // divides n. Spreads outlying channels over all of a block and leaves products of two transformed
  // vectors the same but for the factor block.
  void (*hadamard)(float* x, int64_t n);
  // q = round(x / scale), |q| <= limit; sum = Σ q; returns the scale. Infinite values saturate.
  float (*quantise)(const float* x, int64_t n, int limit, int8_t* q, int32_t* sum);
  // One page's 4-bit values and factors → `panels` panels of 8-bit ones.
  void (*unpack_values)(const uint8_t* packed, const uint8_t* factors, int64_t panels,
                        int8_t* values);
  // Where it is set, it does the work of score, soften and weigh.
  void (*attend)(const AttendArgs&) = nullptr;
  // How many panels of values weigh takes through all pages together, of those left. Null: its
  // order is not told.
  int64_t (*panels_together)(int64_t columns, int64_t left) = nullptr;
};

extern const AttentionKernels kGenericAttention;
#if defined(__x86_64__)
extern const AttentionKernels kAvx2Attention;
extern const AttentionKernels kAvxVnniAttention, kAvxVnniEvexAttention;
extern const AttentionKernels kAvx512Attention;
void attend_amx(const AttendArgs&);  // beside the rest of kAvx512Attention
#elif defined(__aarch64__)
extern const AttentionKernels kNeonAttention;
extern const AttentionKernels kNeonI8mmAttention;
#endif

}  // namespace xh::cpu
