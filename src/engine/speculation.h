// Guessing several tokens ahead, as long as it pays.
//
// A guess costs a row in the next step. Beside decoding rows, that costs `row_cost` tokens' worth
// of time, which is measured; the i-th guess saves a step with probability aⁱ, where a is how often
// guesses of this kind held, which is measured too. Guesses are checked by sampling each row as if
// there had been none, so the output is the same, token by token.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/copy_track.h"
#include "engine/ngram_index.h"

namespace xh {

// What a guessed row costs, in tokens at the present rate of decoding. One per engine.
class GuessCost {
 public:
  // A step of `decodes` sequences and `guesses` extra rows, and no prompts, took `ms`.
  void observe(int32_t decodes, int32_t guesses, double ms);
  double row_cost(int32_t decodes) const;

 private:
  static constexpr size_t kBuckets = 8;  // by powers of two of the sequences
  static size_t bucket(int32_t decodes);
  struct Entry {
    double plain_ms = 0;     // a step without guesses, per sequence count of the last one
    int32_t plain_for = 0;   // that count
    double row_cost = 0.25;  // to begin with: cheap enough to try
  };
  std::array<Entry, kBuckets> entries_;
};

// The guesses of one sequence.
class Speculator {
 public:
  Speculator();
  static constexpr int32_t kMostGuesses = 15;

  // Tokens that may follow, at most `most`; empty when none would pay.
  std::vector<TokenId> propose(std::span<const TokenId> tokens, int32_t most, double row_cost);
  // Of the guesses last proposed, `tried` were in the batch and the first `held` were right.
  void outcome(int32_t tried, int32_t held);

 private:
  struct Record {
    double held, tried;  // decaying counts, with a prior
  };
  // What a guess rests on: a match anywhere, by its length; a short one where the copy is expected
  // to go on; or nothing but that a single token was changed.
  enum Kind : size_t { kShort, kMedium, kLong, kNear, kSkipped, kKinds };
  struct Source {
    int32_t next = -1;   // tokens[next …] are the guess; negative: none
    int32_t length = 0;  // of the match
    Kind kind = kShort;
  };
  static constexpr std::array<double, kKinds> kPrior = {0.3, 0.6, 0.85, 0.6, 0.3};

  Source choose(std::span<const TokenId> tokens);

  NgramIndex index_;
  CopyTrack track_;
  std::array<Record, kKinds> records_;
  Kind used_ = kShort;
};

}  // namespace xh
