// The integers of a panel's block, to and from both layouts of kernels/packed_layout.h.
#pragma once

#include "compute/cpu/kernels/packed_layout.h"

namespace xh::cpu {

// [r][k]: unsigned values; table formats: the table's index; 8-bit: value + 128.
using BlockValues = uint8_t[kPanelRows][kBlock];

// Writes quant_bytes(quants) bytes.
void pack_quants(Layout layout, Quants quants, const BlockValues& values, uint8_t* out);

// The integers of row r, without the format's offset; tables are looked up.
void unpack_row(Layout layout, Quants quants, const uint8_t* block, int r, uint8_t out[kBlock]);

}  // namespace xh::cpu
