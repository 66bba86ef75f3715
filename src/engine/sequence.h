// One request as the scheduler sees it: tokens, pages, and how far they are computed.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "compute/kv_store.h"
#include "engine/page_math.h"
#include "engine/prefix_cache.h"
#include "text/tokenizer.h"

namespace xh {

using SequenceId = uint64_t;  // in order of arrival

inline constexpr double kNever = std::numeric_limits<double>::infinity();

struct SequenceSpec {
  std::vector<TokenId> prompt;  // at least one token
  std::string tenant;
  int32_t priority = 0;
  double deadline_ms = kNever;
  bool score_prompt = false;  // logits of every prompt position are wanted
};

struct Tenant {
  double service = 0;  // weighted rows served; the least served goes first
  int32_t active = 0;  // sequences waiting or running
  int32_t running = 0;
};

// Keys and values of tokens [0, computed) are in the pages. The rest is pending: one token while
// decoding, many while the prompt (or, after a preemption, everything) is being computed.
struct Sequence {
  SequenceId id = 0;
  SequenceSpec spec;
  std::vector<TokenId> tokens;  // prompt, then output
  std::vector<TokenId> draft;   // guesses for what follows, checked in the next step
  int32_t n_prompt = 0;
  int32_t computed = 0;
  int32_t scored = 0;           // prompt positions whose logits were delivered
  int32_t cached_tokens = 0;    // of the prompt, not computed for it
  int32_t restored_tokens = 0;  // of those, brought back from disk
  std::vector<PageId> pages;
  int32_t passed = 0;  // of them, the first: behind the window, given back, kNoPage

  // The deepest node of the prefix tree on this sequence's path, and how many pages that is.
  // Null when the cache is off, or this sequence keeps to itself.
  PrefixCache::Node* cursor = nullptr;
  int32_t depth = 0;
  bool isolated = false;     // recomputes without the cache, after a result that was not finite
  bool used_cached = false;  // some page was computed by another sequence
  bool restarted = false;    // was preempted: what the cache gives again is no gain
  bool was_running = false;  // has been admitted before
  bool asked_cold = false;   // in this stay in the queue: whether more can be brought back
  uint64_t waits_for = 0;    // what is being brought back; 0: nothing

  Tenant* tenant = nullptr;
  double queued_ms = 0;    // when it entered the queue (again)
  uint64_t admission = 0;  // order of the last admission
  bool running = false;
  bool held = false;  // its prompt is computed but for the last row, which waits for others'

  int32_t n_tokens() const { return static_cast<int32_t>(tokens.size()); }
  bool scores() const { return spec.score_prompt && scored < n_prompt; }
  int32_t pending() const { return n_tokens() - computed; }
};

}  // namespace xh
