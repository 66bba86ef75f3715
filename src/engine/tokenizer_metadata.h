// A model file's tokenizer, as GGUF metadata describes it.
#pragma once

#include "base/result.h"
#include "text/tokenizer.h"
#include "weights/metadata.h"

namespace xh {

// Reads tokenizer.ggml.*. Tokens that end a turn are those the file names (eos, eot, eom) and
// control tokens with a text that is known to end turns. What the spec says about itself is checked
// by Tokenizer::create.
Result<TokenizerSpec> tokenizer_spec(const Metadata& metadata);

}  // namespace xh
