// The CPU backend: packed weights, kernels chosen for the instruction set, a pool of threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/numa.h"
#include "compute/compute.h"

namespace xh {

// A file that the model's tensors come from, as it was when it was opened.
struct WeightFile {
  std::string path;
  FileStamp stamp;
};

struct CpuOptions {
  int32_t threads = 0;  // 0: physical cores
  // Given: the packed weights are kept on disk, so that the next start only maps them. Where, the
  // environment may say (cpu/pack_cache.h).
  std::vector<WeightFile> weight_files = {};
  std::vector<MemoryNode> nodes = {};  // empty: those of this machine
};

// Fails when XIAOHU_ISA names an instruction set this machine or build lacks, or XIAOHU_NUMA is
// neither on nor off.
Result<std::unique_ptr<Compute>> make_cpu_compute(const CpuOptions& options);

}  // namespace xh
