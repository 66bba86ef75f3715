#include "sampling/scan_body.h"

namespace xh {

const ScanKernels kScanGeneric = {"generic", block_maxima, exp_block, exp_sums};

}  // namespace xh
