// The CPU backend: packed weights, kernels chosen for the instruction set, a pool of threads.
#pragma once

#include <memory>

#include "compute/compute.h"

namespace xh {

struct CpuOptions {
  int32_t threads = 0;  // 0: physical cores
};

// Fails when XIAOHU_ISA names an instruction set this machine or build lacks.
Result<std::unique_ptr<Compute>> make_cpu_compute(const CpuOptions& options);

}  // namespace xh
