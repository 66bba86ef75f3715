#include "compute/cpu/kernels/dispatch.h"

#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace xh::cpu {
namespace {

#if defined(__x86_64__)
struct X86 {
  bool avx2 = false;
  bool avx512_vnni = false;
};

// CPUID says what the processor can do, XCR0 which registers the operating system saves.
X86 detect_x86() {
  X86 found;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool os_saves = c & bit_OSXSAVE;
  const bool fma = c & bit_FMA, f16c = c & bit_F16C;
  if (!os_saves) return found;
  unsigned xcr0, high;
  asm("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  const bool ymm = (xcr0 & 0x6) == 0x6, zmm = (xcr0 & 0xe6) == 0xe6;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = ymm && fma && f16c && (b & bit_AVX2);
  const unsigned need_b = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  found.avx512_vnni = found.avx2 && zmm && (b & need_b) == need_b && (c & bit_AVX512VNNI);
  return found;
}
#endif

}  // namespace

std::vector<const KernelTable*> runnable_tables() {
  std::vector<const KernelTable*> tables = {&kGenericTable};
#if defined(__x86_64__)
  const X86 cpu = detect_x86();
  if (cpu.avx2) tables.push_back(&kAvx2Table);
  if (cpu.avx512_vnni) tables.push_back(&kAvx512Table);
#elif defined(__aarch64__)
  const bool dot_products = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
  if (dot_products) tables.push_back(&kNeonTable);
  if (dot_products && (getauxval(AT_HWCAP2) & HWCAP2_I8MM)) tables.push_back(&kNeonI8mmTable);
#endif
  return tables;
}

Result<const KernelTable*> choose_table(std::string_view forced) {
  const auto tables = runnable_tables();
  if (forced.empty()) return tables.back();
  std::string names;
  for (const KernelTable* table : tables) {
    if (forced == table->name) return table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  return fail(ErrorCode::kUnsupported,
              "this machine cannot run the instruction set '" + std::string(forced) + "'",
              "XIAOHU_ISA", "use one of: " + names + ", or leave it unset");
}

}  // namespace xh::cpu
