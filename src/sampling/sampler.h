// Chooses the next token from one row of logits.
//
// Order of the chain: allowed mask → logit bias → repetition, frequency and presence penalties →
// temperature → top-k → top-p → min-p → draw. Each filter keeps a prefix of the tokens sorted by
// probability (ties by lower id), so the kept set is the shortest of the three prefixes; top-p's
// mass is measured after top-k. The draw is a function of (seed, position) and the kept weights
// alone: the same request gives the same tokens whatever else runs.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "sampling/logit_scan.h"
#include "sampling/params.h"

namespace xh {

// Working memory for one vocabulary; shared by all samplers of a thread.
struct SamplerScratch {
  std::vector<float> logits;  // (vocab) adjusted copy
  std::vector<float> maxima;  // (blocks)
  std::vector<double> block_sums;
  std::vector<Candidate> candidates;
};

// State of one sequence. Use from one thread.
class Sampler {
 public:
  // `params` must have passed validate(). `seed` is used when params.seed is not set.
  Sampler(SamplingParams params, uint64_t seed);

  // Tokens of the prompt, then each token as it is accepted, in order.
  void see_prompt(std::span<const int32_t> tokens);
  void accept(int32_t token);

  // The token that follows. `logits`: (vocab), untouched. `position`: index of the new token in
  // its sequence. `allowed`: one bit per token, little end first, or empty for all.
  // Errors: kInternal when the row has a NaN or an infinity; kInvalidArgument when the mask
  // allows nothing.
  Result<int32_t> sample(std::span<const float> logits, uint64_t position, SamplerScratch& scratch,
                         std::span<const uint32_t> allowed = {}) const;

  const SamplingParams& params() const { return params_; }
  // Whether what is accepted changes what sample() returns.
  bool has_memory() const { return penalises_; }

 private:
  void adjust(std::span<float> logits, std::span<const uint32_t> allowed) const;
  int32_t draw_all(const LogitScan& scan, double u, SamplerScratch& s) const;
  int32_t draw_kept(const LogitScan& scan, double u, SamplerScratch& s) const;

  SamplingParams params_;
  uint64_t seed_;
  float temperature_;                          // params_.temperature, kept away from 0
  bool adjusts_;                               // a bias or a penalty is set
  bool penalises_;                             // history matters
  std::unordered_map<int32_t, int32_t> seen_;  // token → times in the output (0: prompt only)
};

}  // namespace xh
