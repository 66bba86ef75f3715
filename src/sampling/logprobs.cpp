#include "sampling/logprobs.h"

namespace xh {

Result<RowLogprobs> row_logprobs(std::span<const float> logits, int32_t token, int32_t top_n,
                                 SamplerScratch& scratch) {
  const RowMax top = find_max(logits);
  if (!top.finite || top.index < 0)
    return fail(ErrorCode::kInternal, "the model produced numbers that are not finite", "logits",
                "this request was stopped; others are not affected");
  const double log_z = log_sum_exp(logits, top.value);
  auto logprob = [&](float x) { return static_cast<float>(static_cast<double>(x) - log_z); };
  RowLogprobs out;
  out.chosen = logprob(logits[static_cast<size_t>(token)]);
  largest(logits, top_n, scratch.candidates);
  for (const auto& c : scratch.candidates) out.top.emplace_back(c.id, logprob(c.value));
  return out;
}

}  // namespace xh
