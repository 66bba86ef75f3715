// Products of unsigned and signed bytes, four at a time. Included by ISA files inside their
// anonymous namespace.

// sum += Σ u · s over each lane's four bytes. In assembly: GCC 12 moves the sums of the intrinsic
// to and fro.
inline void add_products(__m256i& sum, __m256i u, __m256i s) {
#ifdef XH_EVEX
  asm("vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(u), "x"(s));
#else
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(u), "x"(s));
#endif
}
