// Tokenizer facts from a model file's metadata.
#pragma once

#include "text/tokenizer.h"
#include "weights/metadata.h"

namespace xh {

// Reads `tokenizer.ggml.*`. Errors name the key.
Result<TokenizerSpec> tokenizer_spec(const Metadata& meta);

}  // namespace xh
