// Where the last few tokens of a sequence occurred before, to guess what follows (prompt lookup:
// Saxena 2023). Quotes, edits, code and tables repeat long stretches of what is in the context.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "text/tokenizer.h"

namespace xh {

// One per sequence; follows its tokens as they grow. About 50 bytes per token.
class NgramIndex {
 public:
  struct Match {
    int32_t next = 0;    // tokens[next …] followed the earlier occurrence
    int32_t length = 0;  // how many tokens before it agree, up to kLongest; 0: no match
  };
  static constexpr int32_t kGram = 3;      // the shortest match
  static constexpr int32_t kLongest = 32;  // agreement is measured no further

  // The best of the recent earlier occurrences of the end of `tokens`: the longest, then the
  // latest. `tokens` must extend those of the last call.
  Match find(std::span<const TokenId> tokens);

  // The longest agreement with the end of `tokens` that is followed by one of the positions
  // from … to; the one closest to `wanted` of those. One token is enough. length 0: none.
  static Match find_near(std::span<const TokenId> tokens, int32_t from, int32_t to, int32_t wanted);

 private:
  void extend(std::span<const TokenId> tokens);

  std::unordered_map<uint64_t, int32_t> latest_;  // gram → position after it
  std::vector<int32_t> earlier_;  // (positions) the one before with this gram, or -1
};

}  // namespace xh
