// Tokens as clients see them in log-probabilities, and token ids as clients send them.
#pragma once

#include <boost/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "serve/api_error.h"
#include "text/tokenizer.h"

namespace xh::serve {

// The token's text; a token that is no complete UTF-8 becomes "bytes:\xe4\xb8", so that different
// tokens stay different.
std::string token_text(const Tokenizer& tokenizer, TokenId id);

// The whole text of some tokens, made valid UTF-8.
std::string plain_text(const Tokenizer& tokenizer, std::span<const TokenId> ids,
                       bool special = true);

// Code points of valid or broken UTF-8: bytes that do not continue a character.
size_t count_characters(std::string_view text);
bool is_utf8(std::string_view text);

// An array of ids, each within the vocabulary.
ApiResult<std::vector<TokenId>> token_array(const boost::json::array& values, std::string_view name,
                                            int32_t vocab_size);

}  // namespace xh::serve
