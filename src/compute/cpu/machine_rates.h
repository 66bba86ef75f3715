// What this machine can do at best: the limits that speeds are held against.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace xh {

struct MachineRates {
  double read_gb_s = 0;     // sequential read of the working set, over and over, all threads
  double fp32_gflop_s = 0;  // fused multiply-adds, two operations each, registers only
  double int8_gop_s = 0;    // 8-bit multiply-adds, two operations each, registers only
  int threads = 0;
  int memory_nodes = 1;  // that the threads are dealt out to
  std::string isa;
};

// Takes about a second. threads 0: physical cores, as the cpu backend. working_set: bytes that the
// measured program reads again and again; a small model stays in a large cache, which is faster
// than memory, and is to be held against that. Fails where make_cpu_compute() fails
// by the environment.
Result<MachineRates> measure_machine(int threads, uint64_t working_set);

}  // namespace xh
