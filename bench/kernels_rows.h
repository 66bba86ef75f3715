#pragma once

namespace xh::cpu {

struct KernelTable;
// Registers benchmarks of what the table does to rows and heads between products.
void add_rows(const KernelTable* table);

}  // namespace xh::cpu
