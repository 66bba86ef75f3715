#include "sampling/nucleus.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

namespace xh {
namespace {

constexpr size_t kSortLimit = 512;  // below this a plain sort is quickest

// Non-negative floats order like their bits; the top 12 bits give 8 bins per power of two.
// Weights are at most 1, whose bin is the last.
constexpr int kBinShift = 20;
constexpr size_t kBins = (std::bit_cast<uint32_t>(1.0f) >> kBinShift) + 1;
size_t bin_of(float weight) {
  return std::min<size_t>(std::bit_cast<uint32_t>(weight) >> kBinShift, kBins - 1);
}

// Length of the shortest prefix of the sorted range that reaches `mass`; all of it if none does.
size_t prefix_with_mass(std::span<const Candidate> sorted, double mass) {
  double sum = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    sum += static_cast<double>(sorted[i].value);
    if (sum >= mass) return i + 1;
  }
  return sorted.size();
}

}  // namespace

void keep_mass(std::vector<Candidate>& candidates, double mass) {
  if (candidates.size() <= kSortLimit) {
    std::sort(candidates.begin(), candidates.end(), before);
    candidates.resize(prefix_with_mass(candidates, mass));
    return;
  }
  std::array<double, kBins> bins{};
  for (const auto& c : candidates) bins[bin_of(c.value)] += static_cast<double>(c.value);
  // The bin in which the sum from the top reaches the mass: all above stay, all below go.
  size_t cut = kBins - 1;
  double above = 0;
  while (cut > 0 && above + bins[cut] < mass) above += bins[cut--];
  std::vector<Candidate> border;
  size_t kept = 0;
  for (const Candidate& c : candidates) {
    const size_t bin = bin_of(c.value);
    if (bin == cut) border.push_back(c);
    candidates[kept] = c;
    kept += bin > cut;
  }
  candidates.resize(kept);
  std::sort(border.begin(), border.end(), before);
  border.resize(prefix_with_mass(border, mass - above));
  candidates.insert(candidates.end(), border.begin(), border.end());
}

void gather_nucleus(const LogitScan& scan, float scale, double mass, std::vector<Candidate>& out) {
  for (float threshold : {0x1.0p-8f, 0x1.0p-13f, 0x1.0p-18f, 0.0f}) {
    scan.weights_at_least(scale, threshold, out);
    double sum = 0;
    for (const auto& c : out) sum += static_cast<double>(c.value);
    if (sum >= mass || threshold == 0.0f) break;
  }
  keep_mass(out, mass);
}

}  // namespace xh
