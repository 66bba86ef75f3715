// How the next token is chosen, and when an answer ends: shared by chat and generate.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/client.h"

namespace xh::cli {

struct SamplingChoice {
  float temperature = 0.7f, top_p = 0.95f, min_p = 0, repetition_penalty = 1;
  float frequency_penalty = 0, presence_penalty = 0;
  int32_t top_k = 0, max_tokens = 1024;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;

  // Everything but the prompt.
  GenerateRequest request() const;
};

void add_sampling_options(CLI::App& self, SamplingChoice& choice);

// "stop", "length", …: as in the API.
const char* finish_name(FinishReason reason);

}  // namespace xh::cli
