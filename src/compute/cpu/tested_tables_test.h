// The kernel tables that tests go through.
#pragma once

#include <vector>

#include "compute/cpu/kernels/dispatch.h"

namespace xh::cpu {

// Those this machine can run, and those of AMX with emulated tiles where only tiles are missing.
std::vector<const KernelTable*> tested_tables();

}  // namespace xh::cpu
