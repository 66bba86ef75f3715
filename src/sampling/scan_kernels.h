// The inner loops over a vocabulary, once per instruction set. All of them do the same operations
// in the same order, so a token never depends on the processor. This header is included by files
// with other compiler flags: nothing inline, nothing of the standard library.
#pragma once

#include <stdint.h>

namespace xh {

inline constexpr int64_t kScanBlock = 256;

struct ScanKernels {
  const char* name;
  // maxima[b] = the largest of block b (NaN never is). False: a value is NaN or infinite.
  bool (*block_maxima)(const float* row, int64_t n, float* maxima);
  // weights[i] = exp((x[i] - max) * scale), n <= kScanBlock. Returns their sum.
  double (*exp_block)(const float* x, int64_t n, float max, float scale, float* weights);
  // sums[b] = what exp_block returns for block b.
  void (*exp_sums)(const float* row, int64_t n, float max, float scale, double* sums);
};

extern const ScanKernels kScanGeneric;
#if defined(__x86_64__)
extern const ScanKernels kScanAvx2, kScanAvx512;
#endif

}  // namespace xh
