#include "compute/cpu/kernels/dispatch.h"

#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace xh::cpu {
namespace {

#if defined(__x86_64__)
struct X86 {
  bool avx2 = false;
  bool avx_vnni = false;
  bool avx512_vnni = false;
  bool pairs = false;       // what use_pairs() needs
  bool halved_512 = false;  // a 512-bit operation takes two turns of a 256-bit unit: Zen 4
  bool amx = false;
};

// Linux saves tiles only for processes that asked: its signal frames grow by 8 KiB. Refused where
// some thread's alternate signal stack is too small for that. All threads share the permission.
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

// Everything that Sapphire Rapids added and that files for AMX may use: tiles of bf16 and bytes,
// AVX-512 with bf16, fp16 and byte permutes.
bool has_amx(unsigned xcr0, unsigned leaf7_c, unsigned leaf7_d) {
  constexpr unsigned kAmxBf16 = 1u << 22, kFp16 = 1u << 23, kAmxTile = 1u << 24,
                     kAmxInt8 = 1u << 25, kAvx512Bf16 = 1u << 5, kTileState = 0x60000;
  const unsigned need_c = bit_AVX512VBMI | bit_AVX512VBMI2;
  const unsigned need_d = kAmxBf16 | kFp16 | kAmxTile | kAmxInt8;
  unsigned a, b, c, d;
  return (leaf7_c & need_c) == need_c && (leaf7_d & need_d) == need_d &&
         (xcr0 & kTileState) == kTileState && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
         (a & kAvx512Bf16) && may_use_tiles();
}

bool has_avx_vnni() {
  constexpr unsigned kAvxVnni = 1u << 4;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvxVnni);
}

// CPUID says what the processor can do, XCR0 which registers the operating system saves.
X86 detect_x86() {
  X86 found;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool os_saves = c & bit_OSXSAVE;
  const bool fma = c & bit_FMA, f16c = c & bit_F16C;
  const unsigned family = (a >> 8 & 15) + (a >> 20 & 255);
  if (!os_saves) return found;
  unsigned xcr0, high;
  asm("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  const bool ymm = (xcr0 & 0x6) == 0x6, zmm = (xcr0 & 0xe6) == 0xe6;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = ymm && fma && f16c && (b & bit_AVX2);
  const unsigned need_b = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  found.avx_vnni = found.avx2 && has_avx_vnni();
  found.avx512_vnni = found.avx2 && zmm && (b & need_b) == need_b && (c & bit_AVX512VNNI);
  found.pairs = found.avx512_vnni && (c & bit_GFNI);
  found.halved_512 = found.avx512_vnni && __builtin_cpu_is("amd") && family == 0x19;
  found.amx = found.avx512_vnni && has_amx(xcr0, c, d);
  return found;
}

// kAvx512Table with another attention and the products that `use` brings.
KernelTable with_tiles(void (*use)(KernelTable&)) {
  static const AttentionKernels attention = [] {
    AttentionKernels kernels = kAvx512Attention;
    kernels.attend = attend_amx;
    return kernels;
  }();
  KernelTable table = kAvx512Table;
  table.attention = &attention;
  use(table);
  return table;
}
// Each maker's processors read faster from memory by other fetches: docs/performance.md. Fetching
// for attention was measured on AMD's alone.
const KernelTable& avx512_table() {
  static const KernelTable table = [] {
    KernelTable copy = kAvx512Table;
    const bool amd = __builtin_cpu_is("amd");
    copy.fetch_later = amd;
    if (detect_x86().halved_512) {  // Zen 4
      copy.fetch_one = {.bytes = 3072, .near = true};
      copy.fetch_more = {.bytes = 8192};
    } else if (amd) {
      copy.fetch_one = copy.fetch_more = {.bytes = 6144, .near = true};
      copy.attention_near = true;
    }
    return copy;
  }();
  return table;
}
const KernelTable& pairs_table() {
  static const KernelTable table = [] {
    KernelTable copy = avx512_table();
    use_pairs(copy);
    return copy;
  }();
  return table;
}
const KernelTable& amx_table() {
  static const KernelTable table = with_tiles(use_amx);
  return table;
}
const KernelTable& amx_int8_table() {
  static const KernelTable table = with_tiles(use_amx_int8);
  return table;
}
#endif

}  // namespace

std::vector<const KernelTable*> runnable_tables() {
  std::vector<const KernelTable*> tables = {&kGenericTable};
#if defined(__x86_64__)
  const X86 cpu = detect_x86();
  if (cpu.avx_vnni)  // by request: it never ran
    tables.push_back(&kAvxVnniTable);
  else if (cpu.avx512_vnni)
    tables.push_back(&kAvxVnniEvexTable);
  if (cpu.avx2) tables.push_back(&kAvx2Table);
  if (cpu.amx) tables.push_back(&amx_table());
  if (cpu.pairs && !cpu.halved_512) tables.push_back(&pairs_table());
  if (cpu.avx512_vnni) tables.push_back(&avx512_table());
  if (cpu.pairs && cpu.halved_512) tables.push_back(&pairs_table());
  if (cpu.amx) tables.push_back(&amx_int8_table());
#elif defined(__aarch64__)
  const bool dot_products = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
  if (dot_products) tables.push_back(&kNeonTable);
  if (dot_products && (getauxval(AT_HWCAP2) & HWCAP2_I8MM)) tables.push_back(&kNeonI8mmTable);
#endif
  return tables;
}

bool runs_amx() {
#if defined(__x86_64__)
  return detect_x86().amx;
#else
  return false;
#endif
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
