// Documents that a server keeps warm: files turned into the beginnings of prompts.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace xh::cli {

// How a text stands in the prompts that are to begin with it.
struct PinChoice {
  std::vector<std::string> files;
  std::string as = "system";  // a chat's system message, the beginning of its first user message
                              // ("user"), or the beginning of a plain completion ("text")
};

// Reads and tokenizes each file. NAME.json is an array of token ids, taken as it is; anything else
// is UTF-8 text. Without a chat template texts are plain.
Result<std::vector<PinnedPrefix>> read_pins(const PinChoice& choice, const LoadedModel& model);

}  // namespace xh::cli
