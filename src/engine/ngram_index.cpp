#include "engine/ngram_index.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "sampling/random.h"

namespace xh {
namespace {

constexpr int kCandidates = 16;

// Of the kGram tokens before `end`.
uint64_t gram_at(std::span<const TokenId> tokens, size_t end) {
  uint64_t hash = 0;
  for (size_t i = end - NgramIndex::kGram; i < end; ++i)
    hash = mix64(hash ^ static_cast<uint32_t>(tokens[i]));
  return hash;
}

int32_t agreement(std::span<const TokenId> tokens, size_t a, size_t b) {
  int32_t n = 0;
  while (n < NgramIndex::kLongest && a > 0 && b > 0 && tokens[--a] == tokens[--b]) ++n;
  return n;
}

}  // namespace

// Indexes every gram but the one at the very end, which is the question.
void NgramIndex::extend(std::span<const TokenId> tokens) {
  for (size_t end = earlier_.size(); end < tokens.size(); ++end) {
    int32_t before = -1;
    if (end >= kGram) {
      auto [it, added] = latest_.try_emplace(gram_at(tokens, end), static_cast<int32_t>(end));
      if (!added) before = std::exchange(it->second, static_cast<int32_t>(end));
    }
    earlier_.push_back(before);
  }
}

NgramIndex::Match NgramIndex::find(std::span<const TokenId> tokens) {
  extend(tokens);
  Match best;
  if (tokens.size() <= kGram) return best;
  auto it = latest_.find(gram_at(tokens, tokens.size()));
  int32_t at = it == latest_.end() ? -1 : it->second;
  for (int i = 0; i < kCandidates && at >= 0; ++i) {
    const int32_t n = agreement(tokens, static_cast<size_t>(at), tokens.size());
    if (n >= kGram && n > best.length) best = {at, n};
    if (best.length == kLongest) break;
    at = earlier_[static_cast<size_t>(at)];
  }
  return best;
}

NgramIndex::Match NgramIndex::find_near(std::span<const TokenId> tokens, int32_t from, int32_t to,
                                        int32_t wanted) {
  Match best;
  from = std::max(from, 1);
  to = std::min(to, static_cast<int32_t>(tokens.size()) - 1);
  for (int32_t at = from; at <= to; ++at) {
    const int32_t n = agreement(tokens, static_cast<size_t>(at), tokens.size());
    const bool closer = std::abs(at - wanted) < std::abs(best.next - wanted);
    if (n > best.length || (n == best.length && n > 0 && closer)) best = {at, n};
  }
  return best;
}

}  // namespace xh
