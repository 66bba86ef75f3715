// Top-p without sorting a vocabulary.
#pragma once

#include <span>
#include <vector>

#include "sampling/logit_scan.h"

namespace xh {

// Every i with row[i] >= threshold, by ascending id.
void gather_above(std::span<const float> row, float threshold, std::vector<Candidate>& out);

// Keeps the shortest prefix (in the order of before()) whose values sum to at least `mass`; at
// least one. Values are weights in [0, 1]. Short lists come back sorted, long ones in an order
// that is fixed by the input alone.
void keep_mass(std::vector<Candidate>& candidates, double mass);

// The tokens that make up `mass` of the weights: gather_above with a falling threshold, then
// keep_mass. The largest weight must be 1.
void gather_nucleus(std::span<const float> weights, double mass, std::vector<Candidate>& out);

}  // namespace xh
