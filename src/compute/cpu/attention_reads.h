// In which order attention's kernels read keys and values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compute/cpu/kernels/attention_kernels.h"
#include "compute/cpu/kv_pages.h"

namespace xh::cpu {

// Adds to `out` the bytes [from, to) of what score and weigh read of these pages of 8-bit keys and
// values (one kv head of each) for `columns` columns: a page's keys, their scales and its values'
// after each other, then values by panels. `kernels` tells how many panels together.
void add_reads(std::span<const uint8_t* const> pages, const KvPages::Head& head,
               const AttentionKernels& kernels, int64_t columns, int64_t from, int64_t to,
               std::vector<Ahead::Run>& out);

}  // namespace xh::cpu
