// Which kernel tables this processor and operating system can run, best last.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {

std::vector<const KernelTable*> runnable_tables();

// Whether files compiled for AMX run here. Asks the operating system for the tiles, once.
bool runs_amx();

// The best table, or the one named `forced` when that is not empty; an error if it cannot run here.
Result<const KernelTable*> choose_table(std::string_view forced);

}  // namespace xh::cpu
