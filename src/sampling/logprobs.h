// Log-probabilities as the OpenAI API reports them: of the model's own distribution, before bias,
// penalties, temperature and filters.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sampling/sampler.h"

namespace xh {

struct RowLogprobs {
  float chosen = 0;                            // log p(token)
  std::vector<std::pair<int32_t, float>> top;  // best first
};

// log-softmax of the row for `token` and the `top_n` best. kInternal when the row is not finite.
Result<RowLogprobs> row_logprobs(std::span<const float> logits, int32_t token, int32_t top_n,
                                 SamplerScratch& scratch);

}  // namespace xh
