// 256-bit VNNI in AVX-512's encoding, for processors that have no other.
#define XH_EVEX
#include "compute/cpu/kernels/isa_avx_vnni.cpp"
