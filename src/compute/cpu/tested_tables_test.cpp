#include "compute/cpu/tested_tables_test.h"

namespace xh::cpu {

#if defined(__x86_64__)
// What src/compute/cpu/CMakeLists.txt makes of isa_amx*.cpp for tests.
void use_emulated_amx(KernelTable& table);
void use_emulated_amx_int8(KernelTable& table);
void attend_emulated_amx(const AttendArgs&);

namespace {

bool lacks_only_tiles() {
  return !runs_amx() && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512vbmi2");
}
const KernelTable* emulated(void (*use)(KernelTable&)) {
  static const AttentionKernels attention = [] {
    AttentionKernels kernels = kAvx512Attention;
    kernels.attend = attend_emulated_amx;
    return kernels;
  }();
  auto* table = new KernelTable(kAvx512Table);  // for as long as the tests run
  table->attention = &attention;
  use(*table);
  return table;
}

}  // namespace
#endif

std::vector<const KernelTable*> tested_tables() {
  auto tables = runnable_tables();
#if defined(__x86_64__)
  if (lacks_only_tiles()) {
    static const KernelTable *bf16 = emulated(use_emulated_amx),
                             *int8 = emulated(use_emulated_amx_int8);
    tables.push_back(bf16);
    tables.push_back(int8);
  }
#endif
  return tables;
}

}  // namespace xh::cpu
