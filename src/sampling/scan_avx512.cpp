#include "sampling/scan_body.h"

namespace xh {

const ScanKernels kScanAvx512 = {"avx512", block_maxima, exp_block, exp_sums};

}  // namespace xh
