// Checks of a TokenizerSpec that every model shares.
#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace xh {

constexpr size_t kMaxTokens = size_t{1} << 22;
constexpr size_t kMaxMerges = size_t{1} << 23;
constexpr size_t kMaxTokenBytes = 16384;   // one token's text
constexpr size_t kMaxSpecialBytes = 1024;  // of a control or user-defined token

// kCorrupt or kTooLarge with the field in `where`; kUnsupported for an unknown model.
Result<void> check_tokenizer_spec(const TokenizerSpec& spec);

// The kind of a token of a checked spec. GGUF's 0 ("undefined") counts as normal.
TokenKind token_kind(const TokenizerSpec& spec, TokenId id);

// Untrusted text for a message: at most 40 bytes, anything but printable ASCII as '?'.
std::string printable(std::string_view text);

}  // namespace xh
