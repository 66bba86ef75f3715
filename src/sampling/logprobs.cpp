#include "sampling/logprobs.h"

namespace xh {

Result<RowLogprobs> row_logprobs(std::span<const float> logits, int32_t token, int32_t top_n,
                                 SamplerScratch& scratch) {
  const LogitScan scan(logits, scratch.maxima);
  if (!scan.finite() || scan.top() < 0)
    return fail(ErrorCode::kInternal, "the model produced numbers that are not finite", "logits",
                "this request was stopped; others are not affected");
  const double log_z = scan.log_sum_exp(scratch.block_sums);
  auto logprob = [&](float x) { return static_cast<float>(static_cast<double>(x) - log_z); };
  RowLogprobs out;
  out.chosen = logprob(logits[static_cast<size_t>(token)]);
  scan.largest(top_n, scratch.candidates);
  for (const auto& c : scratch.candidates) out.top.emplace_back(c.id, logprob(c.value));
  return out;
}

}  // namespace xh
