#include "engine/speculation.h"

#include <algorithm>
#include <bit>

namespace xh {
namespace {
constexpr double kPlainWeight = 0.2;  // of a new sample in the moving averages
constexpr double kCostWeight = 0.1;
constexpr double kMargin = 1.15;   // a guess must promise this much more than it costs
constexpr double kFade = 0.9;      // of older outcomes, per outcome
constexpr double kForget = 0.995;  // per proposal: bad records fade, so that it is tried again
constexpr double kCheapest = 0.02, kDearest = 4.0;
constexpr std::array<double, 3> kPrior = {0.3, 0.6, 0.85};
constexpr double kPriorWeight = 1;
}  // namespace

size_t GuessCost::bucket(int32_t decodes) {
  return std::min(static_cast<size_t>(std::bit_width(static_cast<uint32_t>(decodes)) - 1),
                  kBuckets - 1);
}

void GuessCost::observe(int32_t decodes, int32_t guesses, double ms) {
  if (decodes < 1) return;
  Entry& e = entries_[bucket(decodes)];
  if (guesses == 0) {
    const bool fresh = e.plain_for != decodes;
    e.plain_ms = fresh ? ms : e.plain_ms + kPlainWeight * (ms - e.plain_ms);
    e.plain_for = decodes;
    return;
  }
  if (e.plain_for != decodes || e.plain_ms <= 0) return;
  const double sample = (ms / e.plain_ms - 1) * decodes / guesses;
  e.row_cost += kCostWeight * (std::clamp(sample, kCheapest, kDearest) - e.row_cost);
}

double GuessCost::row_cost(int32_t decodes) const {
  return decodes < 1 ? 1.0 : entries_[bucket(decodes)].row_cost;
}

size_t Speculator::bucket(int32_t match_length) {
  return match_length < 6 ? 0 : match_length < 16 ? 1 : 2;
}

std::vector<TokenId> Speculator::propose(std::span<const TokenId> tokens, int32_t most,
                                         double row_cost) {
  for (size_t i = 0; i < records_.size(); ++i) {
    records_[i].held = kForget * records_[i].held + (1 - kForget) * kPriorWeight * kPrior[i];
    records_[i].tried = kForget * records_[i].tried + (1 - kForget) * kPriorWeight;
  }
  const auto match = index_.find(tokens);
  if (match.length == 0) return {};
  used_ = bucket(match.length);
  const double a = records_[used_].held / records_[used_].tried;
  std::vector<TokenId> out;
  double chance = a;
  const auto limit =
      std::min(std::min(most, kMostGuesses), static_cast<int32_t>(tokens.size()) - match.next);
  while (static_cast<int32_t>(out.size()) < limit && chance > kMargin * row_cost) {
    out.push_back(tokens[static_cast<size_t>(match.next) + out.size()]);
    chance *= a;
  }
  return out;
}

void Speculator::outcome(int32_t tried, int32_t held) {
  if (tried == 0) return;
  // Each guess up to the first wrong one is a trial.
  Record& r = records_[used_];
  r.held = kFade * r.held + held;
  r.tried = kFade * r.tried + std::min(held + 1, tried);
}

}  // namespace xh
