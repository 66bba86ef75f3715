// How the next token is chosen. Field meanings follow the OpenAI API and its common extensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"

namespace xh {

// Bounds that validate() enforces; temperatures and penalties beyond them have no use.
inline constexpr float kMaxTemperature = 100.0f;
inline constexpr int32_t kMaxTopK = 1 << 20;
inline constexpr float kMinRepetitionPenalty = 0.01f;
inline constexpr float kMaxRepetitionPenalty = 100.0f;
inline constexpr size_t kMaxLogitBias = 1024;

struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // >1 discourages tokens of prompt and output
  float frequency_penalty = 0.0f;   // per occurrence in the output
  float presence_penalty = 0.0f;    // once per token in the output
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::optional<uint64_t> seed;  // same seed, same prompt: same tokens

  // Every bound, with the field named in Error::where. vocab_size bounds logit_bias ids.
  Result<void> validate(int32_t vocab_size) const;
};

}  // namespace xh
