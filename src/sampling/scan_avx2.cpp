#include "sampling/scan_body.h"

namespace xh {

const ScanKernels kScanAvx2 = {"avx2", block_maxima, exp_block, exp_sums};

}  // namespace xh
