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
constexpr double kPriorWeight = 1;
constexpr int32_t kMediumMatch = 6, kLongMatch = 16;
constexpr int32_t kNearerBy = 4;  // a match elsewhere must be this much longer
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

Speculator::Speculator() {
  for (size_t i = 0; i < kKinds; ++i) records_[i] = {kPrior[i], 1};
}

Speculator::Source Speculator::choose(std::span<const TokenId> tokens) {
  const auto match = index_.find(tokens);
  const auto near = track_.find(tokens);
  if (match.length == 0 && near.length == 0) return {near.next, 0, kSkipped};
  const bool anywhere = match.length > near.length + (near.length > 0 ? kNearerBy : 0);
  const int32_t next = anywhere ? match.next : near.next;
  const int32_t length = anywhere ? match.length : near.length;
  if (length >= kLongMatch) return {next, length, kLong};
  if (length >= kMediumMatch) return {next, length, kMedium};
  return {next, length, anywhere ? kShort : kNear};
}

std::vector<TokenId> Speculator::propose(std::span<const TokenId> tokens, int32_t most,
                                         double row_cost) {
  for (size_t i = 0; i < kKinds; ++i) {
    records_[i].held = kForget * records_[i].held + (1 - kForget) * kPriorWeight * kPrior[i];
    records_[i].tried = kForget * records_[i].tried + (1 - kForget) * kPriorWeight;
  }
  track_.follow(tokens);
  const Source source = choose(tokens);
  if (source.next < 0) return {};
  used_ = source.kind;
  const bool elsewhere = used_ == kShort && track_.is_in_a_change();
  if (source.length > 0 && !elsewhere) track_.set_place(tokens, source.next, source.length);
  const double a = records_[used_].held / records_[used_].tried;
  // A guess must raise the tokens that a step's time gives, those before it counted in.
  auto out = track_.guess(tokens, source.next, std::min(most, kMostGuesses), elsewhere);
  size_t n = 0;
  double chance = a, expected = 1, cost = 1;
  for (; n < out.size() && chance * cost > kMargin * row_cost * expected; ++n) {
    expected += chance;
    cost += row_cost;
    chance *= a;
  }
  out.resize(n);
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
