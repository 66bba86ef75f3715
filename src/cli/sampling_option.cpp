#include "cli/sampling_option.h"

namespace xh::cli {

void add_sampling_options(CLI::App& self, SamplingChoice& c) {
  const char* kGroup = "Sampling";
  self.add_option("--max-tokens,-n", c.max_tokens,
                  "End the answer after so many tokens (0: when the context is full)")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str()
      ->group(kGroup);
  self.add_option("--temperature", c.temperature,
                  "0 takes the likeliest token, always the same answer")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str()
      ->group(kGroup);
  self.add_option("--top-k", c.top_k, "Choose among the K likeliest (0: off)")
      ->check(CLI::Range(0, kMaxTopK))
      ->group(kGroup);
  self.add_option("--top-p", c.top_p, "Choose among the likeliest that add up to P")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(kGroup);
  self.add_option("--min-p", c.min_p, "Drop tokens less likely than this part of the likeliest")
      ->check(CLI::Range(0.0, 1.0))
      ->group(kGroup);
  self.add_option("--repetition-penalty", c.repetition_penalty, "Above 1: repeat less")
      ->check(CLI::Range(0.01, 100.0))
      ->group(kGroup);
  self.add_option("--frequency-penalty", c.frequency_penalty, "Per earlier occurrence")
      ->check(CLI::Range(-2.0, 2.0))
      ->group(kGroup);
  self.add_option("--presence-penalty", c.presence_penalty, "For having occurred")
      ->check(CLI::Range(-2.0, 2.0))
      ->group(kGroup);
  self.add_option("--seed", c.seed, "The same seed gives the same answer")->group(kGroup);
  self.add_option("--stop", c.stop, "End before this text (may be repeated)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(kGroup);
}

GenerateRequest SamplingChoice::request() const {
  GenerateRequest out;
  out.sampling.temperature = temperature;
  out.sampling.top_k = top_k;
  out.sampling.top_p = top_p;
  out.sampling.min_p = min_p;
  out.sampling.repetition_penalty = repetition_penalty;
  out.sampling.frequency_penalty = frequency_penalty;
  out.sampling.presence_penalty = presence_penalty;
  out.sampling.seed = seed;
  out.max_tokens = max_tokens;
  out.stop = stop;
  return out;
}

const char* finish_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kCancelled: return "cancelled";
    case FinishReason::kError: return "error";
  }
  return "error";
}

}  // namespace xh::cli
