#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/nucleus.h"
#include "sampling/random.h"

namespace xh {
namespace {
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kMinTemperature = 1e-5f;  // keeps 1/temperature finite; colder is the same draw

// The first candidate at which the running sum of weights passes u · total.
int32_t draw(std::span<const Candidate> candidates, double u) {
  double total = 0;
  for (const auto& c : candidates) total += static_cast<double>(c.value);
  double left = u * total;
  for (const auto& c : candidates) {
    left -= static_cast<double>(c.value);
    if (left < 0) return c.id;
  }
  return candidates.back().id;
}
}  // namespace

Sampler::Sampler(SamplingParams params, uint64_t seed)
    : params_(std::move(params)), seed_(params_.seed.value_or(seed)) {
  penalises_ = params_.repetition_penalty != 1.0f || params_.frequency_penalty != 0.0f ||
               params_.presence_penalty != 0.0f;
  temperature_ = std::max(params_.temperature, kMinTemperature);
  adjusts_ = penalises_ || !params_.logit_bias.empty();
}

void Sampler::see_prompt(std::span<const int32_t> tokens) {
  if (params_.repetition_penalty == 1.0f) return;
  for (int32_t t : tokens) seen_.try_emplace(t, 0);
}

void Sampler::accept(int32_t token) {
  if (penalises_) ++seen_[token];
}

void Sampler::adjust(std::span<float> logits, std::span<const uint32_t> allowed) const {
  for (const auto& [id, bias] : params_.logit_bias) logits[static_cast<size_t>(id)] += bias;
  for (const auto& [id, count] : seen_) {
    if (id < 0 || static_cast<size_t>(id) >= logits.size()) continue;
    float& x = logits[static_cast<size_t>(id)];
    // Divide positive, multiply negative logits (Keskar et al. 2019, CTRL).
    x = x > 0 ? x / params_.repetition_penalty : x * params_.repetition_penalty;
    if (count > 0)
      x -= params_.frequency_penalty * static_cast<float>(count) + params_.presence_penalty;
  }
  if (allowed.empty()) return;
  for (size_t i = 0; i < logits.size(); ++i) {
    const size_t word = i / 32;
    if (word >= allowed.size() || !(allowed[word] >> (i % 32) & 1)) logits[i] = -kInf;
  }
}

Result<int32_t> Sampler::sample(std::span<const float> logits, uint64_t position,
                                SamplerScratch& scratch, std::span<const uint32_t> allowed) const {
  LogitScan scan(logits, scratch.maxima);
  if (!scan.finite() || scan.top() < 0)
    return fail(ErrorCode::kInternal, "the model produced numbers that are not finite", "logits",
                "this request was stopped; others are not affected");
  if (adjusts_ || !allowed.empty()) {
    scratch.logits.assign(logits.begin(), logits.end());
    adjust(scratch.logits, allowed);
    scan = LogitScan(scratch.logits, scratch.maxima);
    if (scan.top() < 0)
      return fail(ErrorCode::kInvalidArgument, "no token is allowed here", "token mask");
  }
  if (params_.temperature == 0.0f || params_.top_k == 1 || params_.min_p >= 1.0f ||
      params_.top_p <= 0.0f)
    return scan.top();
  const double u = random_unit(seed_, position);
  const bool filters = params_.top_p < 1.0f || params_.min_p > 0.0f ||
                       (params_.top_k > 0 && static_cast<size_t>(params_.top_k) < logits.size());
  return filters ? draw_kept(scan, u, scratch) : draw_all(scan, u, scratch);
}

// No filter: find the block by its sum, then the token in the block.
int32_t Sampler::draw_all(const LogitScan& scan, double u, SamplerScratch& s) const {
  const float scale = 1.0f / temperature_;
  double left = u * scan.exp_sums(scale, s.block_sums);
  size_t block = 0;
  while (block + 1 < s.block_sums.size() && left >= s.block_sums[block])
    left -= s.block_sums[block++];
  float weights[kScanBlock];
  for (;; --block) {
    const int64_t n = scan.exp_block(block, scale, weights);
    int64_t chosen = -1;  // rounding may carry `left` past the block: then its last possible token
    for (int64_t i = 0; i < n; ++i) {
      if (weights[i] <= 0) continue;
      chosen = i;
      left -= static_cast<double>(weights[i]);
      if (left < 0) break;
    }
    if (chosen >= 0)
      return static_cast<int32_t>(scan.block_begin(block)) + static_cast<int32_t>(chosen);
    if (block == 0) return scan.top();
    left = std::numeric_limits<double>::infinity();  // only by rounding into a block of zeros: the
                                                     // last token before it that has any weight
  }
}

int32_t Sampler::draw_kept(const LogitScan& scan, double u, SamplerScratch& s) const {
  const float scale = 1.0f / temperature_;
  auto to_weights = [&] {  // relative to the best token, whose weight is 1
    double total = 0;
    for (auto& c : s.candidates) {
      c.value = std::exp((c.value - scan.max()) * scale);
      total += static_cast<double>(c.value);
    }
    return total;
  };
  if (params_.top_k > 0 && static_cast<size_t>(params_.top_k) < scan.row().size()) {
    scan.largest(params_.top_k, s.candidates);
    const double total = to_weights();
    if (params_.top_p < 1.0f) keep_mass(s.candidates, total * static_cast<double>(params_.top_p));
  } else if (params_.top_p < 1.0f) {
    const double total = scan.exp_sums(scale, s.block_sums);
    gather_nucleus(scan, scale, total * static_cast<double>(params_.top_p), s.candidates);
  } else {  // min-p alone: a threshold on the logits
    scan.at_least(scan.max() + std::log(params_.min_p) * temperature_, s.candidates);
    to_weights();
  }
  if (params_.min_p > 0.0f)
    std::erase_if(s.candidates, [&](const Candidate& c) { return c.value < params_.min_p; });
  return draw(s.candidates, u);
}

}  // namespace xh
