// Least-squares fits of one scale (and minimum) to a run of values: the heart of the quantiser.
#pragma once

#include <cstdint>
#include <span>

namespace xh {

// Nearest integer to x, kept within lo…hi. Ties go to even; NaN gives lo.
int round_clamped(float x, int lo, int hi);

// The d for which d · q, q in lo…hi (lo = -hi - 1), comes closest to x. It may be negative: then
// the value of largest magnitude meets the longer, negative end of the range. 0 when all x are 0.
float fit_symmetric(std::span<const float> x, int lo, int hi);

// The same for d · table[q], 16 ascending entries.
float fit_table(std::span<const float> x, const int8_t table[16]);
// Index of the entry of an ascending table that is nearest to x.
int nearest_in_table(float x, const int8_t table[16]);

// scale and min for which scale · q - min, q in 0…hi, comes closest to x. scale ≥ 0; with
// `min_at_least_zero` (the k-quants store it unsigned) also min ≥ 0.
struct ScaleMin {
  float scale = 0;
  float min = 0;
};
ScaleMin fit_scale_min(std::span<const float> x, int hi, bool min_at_least_zero);

}  // namespace xh
