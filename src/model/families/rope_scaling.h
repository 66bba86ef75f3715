// Rotation frequencies from metadata, with the scalings that stretch a model's context.
#pragma once

#include <string>

#include "compute/compute.h"
#include "weights/model_file.h"

namespace xh {

// Reads `PREFIXrope.*` and the optional tensor rope_freqs.weight (Llama 3's per-frequency factors).
// `context` grows to factor · original where the scaling says so. interleaved is left to the
// caller.
Result<Rope> read_rope(const ModelFile& file, const std::string& prefix, int32_t head_dim,
                       int32_t& context);

struct YarnParams {
  double factor = 1, original_context = 0, beta_fast = 32, beta_slow = 1;
};
// inv_freq after "NTK-by-parts" interpolation (Peng et al. 2023, YaRN, section 3.2).
std::vector<float> yarn_frequencies(double theta, int32_t dims, const YarnParams& params);
// The base of "dynamic NTK" scaling at `stretch` times the original context (transformers'
// `dynamic`). transformers grows the base with the sequence, which leaves earlier keys turned by an
// older one; ours is the base of the longest context from the start, so that keys stay valid in
// pages, and both agree on a sequence of that length.
double dynamic_theta(double theta, int32_t dims, double factor, double stretch);
// 0.1·ln(factor) + 1, the paper's attention temperature applied to cos and sin.
float yarn_magnitude(double factor);

}  // namespace xh
