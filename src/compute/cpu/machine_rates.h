// What this machine can do at best: the limits that speeds are held against.
#pragma once

#include <string>

#include "base/result.h"

namespace xh {

struct MachineRates {
  double read_gb_s = 0;     // sequential read of memory far larger than the caches, all threads
  double fp32_gflop_s = 0;  // fused multiply-adds, two operations each, registers only
  double int8_gop_s = 0;    // 8-bit multiply-adds, two operations each, registers only
  int threads = 0;
  std::string isa;
};

// Takes about a second. threads 0: physical cores, as the cpu backend.
// Fails when XIAOHU_ISA names an instruction set this machine or build lacks.
Result<MachineRates> measure_machine(int threads);

}  // namespace xh
