// Follows a copy with changes: "repeat this contract with another name in it". The copy leaves its
// source at each change and comes back to it, so the place in the source is kept, and after a
// change one token that agrees near that place is enough to go on. What became of what is
// remembered too: the same change will be made again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace xh {

// One per sequence. Positions are indices into the sequence's tokens, where the source stands too.
class CopyTrack {
 public:
  // Takes in what was appended since the last call: what was guessed, or something else.
  void follow(std::span<const TokenId> tokens);
  // The copy goes on at tokens[next]; the last `length` tokens agree with those before it.
  void set_place(std::span<const TokenId> tokens, int32_t next, int32_t length);

  struct Place {
    int32_t next = -1;   // negative: there is none
    int32_t length = 0;  // tokens that agree before it; 0: one token was changed, it seems
  };
  // Where the copy goes on, by what agrees near the last place.
  Place find(std::span<const TokenId> tokens) const;

  // Something was changed a moment ago: a short match elsewhere is chance rather than the end of
  // this copy.
  bool is_in_a_change() const;
  // What follows from place `next` on with the changes made, `most` tokens at most. `elsewhere`:
  // the copy has not moved there.
  std::vector<TokenId> guess(std::span<const TokenId> tokens, int32_t next, int32_t most,
                             bool elsewhere = false);

 private:
  struct Change {
    std::vector<TokenId> from, to;
  };
  struct Guess {
    TokenId token = 0;
    int32_t after = 0;    // the place once it holds
    int32_t source = -1;  // the first after or of a change: where that begins in the source
  };
  const Change* change_at(std::span<const TokenId> tokens, int32_t place) const;
  void lose();
  void learn(std::span<const TokenId> tokens, int32_t next, int32_t length);
  void forget(std::span<const TokenId> tokens, int32_t source);

  int32_t place_ = -1;   // of the source, next; negative: no copy is going on
  int32_t lost_ = 0;     // tokens since both agreed
  int32_t agreed_ = 0;   // of this copy, in all
  size_t followed_ = 0;  // tokens that were taken in
  std::vector<Guess> guesses_;
  int32_t guessed_from_ = -1;
  std::vector<Change> changes_;  // the newest last
};

}  // namespace xh
