#include "compute/cpu/machine_rates.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "base/thread_pool.h"
#include "compute/cpu/kernels/dispatch.h"
#include "compute/cpu/memory.h"

namespace xh {
namespace {

using Clock = std::chrono::steady_clock;

// Best of `repeats` runs of work(thread) on every thread at once; work returns what it did.
double best_rate(ThreadPool& pool, int repeats, const std::function<double(int)>& work) {
  double best = 0;
  for (int r = 0; r < repeats; ++r) {
    std::vector<double> done(static_cast<size_t>(pool.size()));
    const auto start = Clock::now();
    pool.run([&](int32_t thread) { done[static_cast<size_t>(thread)] = work(thread); });
    double total = 0;
    for (double d : done) total += d;
    best = std::max(best, total / std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

std::atomic<uint64_t> g_sink;  // keeps results alive

// Sums n bytes, a multiple of 1024, in the widest loads. Fetches ahead, as the kernels do: without,
// one thread reads at half the rate.
template <class Vector>
[[gnu::always_inline]] inline double read_all(const std::byte* data, size_t n) {
  constexpr size_t kAhead = 8192, kLanes = 8;
  Vector sums[kLanes] = {};
  for (size_t i = 0; i < n; i += sizeof sums) {
    for (size_t line = 0; line < sizeof sums; line += 64)
      __builtin_prefetch(data + i + kAhead + line);
    for (size_t l = 0; l < kLanes; ++l)
      sums[l] += *reinterpret_cast<const Vector*>(data + i + l * sizeof(Vector));
  }
  for (size_t l = 1; l < kLanes; ++l) sums[0] += sums[l];
  g_sink.fetch_add(static_cast<uint64_t>(sums[0][0]), std::memory_order_relaxed);
  return static_cast<double>(n);
}

using Words16 [[gnu::vector_size(16), gnu::may_alias]] = uint64_t;
double read_generic(const std::byte* data, size_t n) {
  return read_all<Words16>(data, n);
}

constexpr int64_t kRounds = 4'000'000;
// Independent accumulators, enough to hide the latency; kept in registers by unrolling. An empty
// asm hides that they begin alike: GCC computes ten equal chains once.
constexpr int kChains = 10;

double fp32_generic() {
  float acc[16] = {};
  for (int64_t i = 0; i < kRounds; ++i)
    for (float& a : acc) a = a * 0.999f + 0.5f;
  g_sink.fetch_add(static_cast<uint64_t>(acc[3]), std::memory_order_relaxed);
  return 2.0 * 16 * kRounds;
}

double int8_generic() {
  int32_t acc[16] = {};
  for (int64_t i = 0; i < kRounds; ++i)
    for (int32_t l = 0; l < 16; ++l) acc[l] += static_cast<int8_t>(i + l) * static_cast<int8_t>(i);
  g_sink.fetch_add(static_cast<uint64_t>(acc[3]), std::memory_order_relaxed);
  return 2.0 * 16 * kRounds;
}

#if defined(__x86_64__)
#define XH_AVX2 __attribute__((target("avx2,fma")))
#define XH_AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni")))

using Words32 [[gnu::vector_size(32), gnu::may_alias]] = uint64_t;
using Words64 [[gnu::vector_size(64), gnu::may_alias]] = uint64_t;
XH_AVX2 double read_avx2(const std::byte* data, size_t n) {
  return read_all<Words32>(data, n);
}
XH_AVX512 double read_avx512(const std::byte* data, size_t n) {
  return read_all<Words64>(data, n);
}

XH_AVX2 double fp32_avx2() {
  __m256 acc[kChains];
  for (auto& a : acc) {
    a = _mm256_set1_ps(1);
    __asm__("" : "+x"(a));
  }
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.5f);
  for (int64_t i = 0; i < kRounds; ++i)
#pragma GCC unroll 16
    for (auto& a : acc) a = _mm256_fmadd_ps(a, x, y);
  for (auto& a : acc) g_sink.fetch_add(static_cast<uint64_t>(_mm256_cvtss_f32(a)));
  return 2.0 * 8 * kChains * kRounds;
}

// Unsigned 4-bit times signed 8-bit products, eight deep in 16 bits, as the kernels add them.
XH_AVX2 double int8_avx2() {
  __m256i acc[4] = {};
  __m256i w = _mm256_set1_epi8(7), a = _mm256_set1_epi8(5);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < kRounds / 8; ++i) {
#pragma GCC unroll 4
    for (auto& total : acc) {
      __m256i deep = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        __asm__("" : "+x"(a));  // keeps the products from being hoisted
        deep = _mm256_add_epi16(deep, _mm256_maddubs_epi16(w, a));
      }
      total = _mm256_add_epi32(total, _mm256_madd_epi16(deep, ones));
    }
  }
  for (auto& t : acc) g_sink.fetch_add(static_cast<uint64_t>(_mm256_extract_epi32(t, 0)));
  return 2.0 * 32 * 8 * 4 * (kRounds / 8);
}

// The instruction in either encoding, see isa_avx_vnni.cpp.
template <bool kEvex>
XH_AVX2 double int8_vnni256() {
  __m256i acc[12];
#pragma GCC unroll 12
  for (auto& t : acc) t = _mm256_setzero_si256();
  const __m256i w = _mm256_set1_epi8(7), a = _mm256_set1_epi8(5);
  for (int64_t i = 0; i < kRounds; ++i)
#pragma GCC unroll 12
    for (auto& t : acc) {
      if constexpr (kEvex)
        __asm__("vpdpbusd %2, %1, %0" : "+x"(t) : "x"(w), "x"(a));
      else
        __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(t) : "x"(w), "x"(a));
    }
#pragma GCC unroll 12
  for (auto& t : acc) g_sink.fetch_add(static_cast<uint64_t>(_mm256_extract_epi32(t, 0)));
  return 2.0 * 32 * 12 * kRounds;
}

XH_AVX512 double fp32_avx512() {
  __m512 acc[kChains];
  for (auto& a : acc) {
    a = _mm512_set1_ps(1);
    __asm__("" : "+v"(a));
  }
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.5f);
  for (int64_t i = 0; i < kRounds; ++i)
#pragma GCC unroll 16
    for (auto& a : acc) a = _mm512_fmadd_ps(a, x, y);
  for (auto& a : acc) g_sink.fetch_add(static_cast<uint64_t>(_mm512_cvtss_f32(a)));
  return 2.0 * 16 * kChains * kRounds;
}

XH_AVX512 double int8_avx512() {
  __m512i acc[kChains];
  for (auto& t : acc) {
    t = _mm512_setzero_si512();
    __asm__("" : "+v"(t));
  }
  __m512i w = _mm512_set1_epi8(7), a = _mm512_set1_epi8(5);
  for (int64_t i = 0; i < kRounds; ++i) {
    __asm__("" : "+x"(a));
#pragma GCC unroll 16
    for (auto& t : acc) t = _mm512_dpbusd_epi32(t, w, a);
  }
  for (auto& t : acc)
    g_sink.fetch_add(static_cast<uint64_t>(_mm_cvtsi128_si32(_mm512_castsi512_si128(t))));
  return 2.0 * 64 * kChains * kRounds;
}

#include "compute/cpu/kernels/amx_tiles.h"

enum class Tiles { kInt8, kBf16 };
// Products in tiles, which take the place of 8-bit vectors where a table uses them.
template <Tiles kOf>
double products_amx() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) config.rows[i] = 16, config.row_bytes[i] = 64;
  configure_tiles(config);
  for (int64_t i = 0; i < kRounds / 16; ++i) {
    if constexpr (kOf == Tiles::kInt8) {
      multiply_bytes<0, 4, 6>();
      multiply_bytes<1, 5, 6>();
      multiply_bytes<2, 4, 7>();
      multiply_bytes<3, 5, 7>();
    } else {
      multiply_bf16<0, 4, 6>();
      multiply_bf16<1, 5, 6>();
      multiply_bf16<2, 4, 7>();
      multiply_bf16<3, 5, 7>();
    }
  }
  return 2.0 * 16 * 16 * (kOf == Tiles::kInt8 ? 64 : 32) * 4 * (kRounds / 16);
}
#elif defined(__aarch64__)
double fp32_neon() {
  float32x4_t acc[kChains];
  for (auto& a : acc) {
    a = vdupq_n_f32(1);
    __asm__("" : "+w"(a));
  }
  const float32x4_t x = vdupq_n_f32(0.999f), y = vdupq_n_f32(0.5f);
  for (int64_t i = 0; i < kRounds; ++i)
#pragma GCC unroll 16
    for (auto& a : acc) a = vfmaq_f32(a, x, y);
  for (auto& a : acc) g_sink.fetch_add(static_cast<uint64_t>(vgetq_lane_f32(a, 0)));
  return 2.0 * 4 * kChains * kRounds;
}

__attribute__((target("arch=armv8.2-a+dotprod"))) double int8_neon() {
  int32x4_t acc[kChains];
  for (auto& a : acc) {
    a = vdupq_n_s32(0);
    __asm__("" : "+w"(a));
  }
  int8x16_t w = vdupq_n_s8(7), x = vdupq_n_s8(5);
  for (int64_t i = 0; i < kRounds; ++i) {
    __asm__("" : "+w"(x));
#pragma GCC unroll 16
    for (auto& a : acc) a = vdotq_s32(a, w, x);
  }
  for (auto& a : acc) g_sink.fetch_add(static_cast<uint64_t>(vgetq_lane_s32(a, 0)));
  return 2.0 * 16 * kChains * kRounds;
}
#endif

}  // namespace

Result<MachineRates> measure_machine(int threads, uint64_t working_set) {
  const char* forced = std::getenv("XIAOHU_ISA");
  XH_TRY(const cpu::KernelTable* table, cpu::choose_table(forced == nullptr ? "" : forced));
  MachineRates out;
  out.isa = table->name;
  XH_TRY(const auto nodes, memory_nodes());
  ThreadPool pool(threads > 0 ? threads : physical_cores(nodes), nodes);
  out.threads = pool.size();
  out.memory_nodes = static_cast<int>(pool.teams().size());

  double (*fp32)() = fp32_generic;
  double (*int8)() = int8_generic;
  double (*read)(const std::byte*, size_t) = read_generic;
#if defined(__x86_64__)
  if (out.isa == "avx2") fp32 = fp32_avx2, int8 = int8_avx2, read = read_avx2;
  if (out.isa == "avx_vnni") fp32 = fp32_avx2, int8 = int8_vnni256<false>, read = read_avx2;
  if (table == &cpu::kAvxVnniEvexTable) int8 = int8_vnni256<true>;
  if (out.isa == "avx512" || out.isa == "avx512_pairs")
    fp32 = fp32_avx512, int8 = int8_avx512, read = read_avx512;
  if (out.isa == "avx512_amx" || out.isa == "amx") fp32 = fp32_avx512, read = read_avx512;
  if (out.isa == "avx512_amx") int8 = products_amx<Tiles::kInt8>;
  if (out.isa == "amx") int8 = products_amx<Tiles::kBf16>;
#elif defined(__aarch64__)
  if (out.isa.starts_with("neon")) fp32 = fp32_neon, int8 = int8_neon;
#endif
  out.fp32_gflop_s = best_rate(pool, 3, [&](int) { return fp32(); }) / 1e9;
  out.int8_gop_s = best_rate(pool, 3, [&](int) { return int8(); }) / 1e9;

  constexpr uint64_t kLeast = 32 << 20, kMost = 1 << 30, kUnit = 1024;
  const auto n_threads = static_cast<uint64_t>(out.threads);
  const uint64_t share = std::clamp(working_set, kLeast, kMost) / n_threads / kUnit * kUnit;
  XH_TRY(auto memory, cpu::Memory::map(share * n_threads));
  auto part = [&](int t) { return memory.data() + static_cast<uint64_t>(t) * share; };
  pool.run([&](int32_t thread) { std::memset(part(thread), 1, share); });  // near its reader
  out.read_gb_s = best_rate(pool, 9, [&](int t) { return read(part(t), share); }) / 1e9;
  return out;
}

}  // namespace xh
