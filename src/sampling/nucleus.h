// Top-p without sorting a vocabulary.
#pragma once

#include <vector>

#include "sampling/logit_scan.h"

namespace xh {

// Keeps the shortest prefix (in the order of before()) whose values sum to at least `mass`; at
// least one. Values are weights in [0, 1]. Short lists come back sorted, long ones in an order
// that is fixed by the input alone.
void keep_mass(std::vector<Candidate>& candidates, double mass);

// The tokens that make up `mass` of the weights exp((row[i] - max) * scale), whose largest is 1:
// those above a falling threshold, then keep_mass.
void gather_nucleus(const LogitScan& scan, float scale, double mass, std::vector<Candidate>& out);

}  // namespace xh
