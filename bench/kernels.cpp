// Every kernel of every table this machine can run: one thread, a matrix that stays in the
// second-level cache, in GOP/s (multiply and add count as two), and columns over a matrix that
// does not, in GB/s of packed bytes.   kernels_bench --benchmark_filter=avx512/Q4_0
#include <benchmark/benchmark.h>

#include <memory>

#include "compute/cpu/act_tiles.h"
#include "compute/cpu/kernels/dispatch.h"
#include "compute/cpu/random_tensor_test.h"
#include "kernels_rows.h"

namespace xh::cpu {
namespace {

void run_product(benchmark::State& state, const KernelTable& table, DType type, int64_t rows,
                 int64_t in, int64_t columns) {
  ThreadPool pool(1);
  const RandomTensor source = random_tensor(type, rows, in, 1);
  auto w = PackedMatrix::pack(source.view, "w", pool, table.layout);
  if (!w) return state.SkipWithError("cannot pack");
  const auto x = random_floats(columns * in, 2);
  const ActForm form = form_taken(table, **w, columns, false);
  const auto memory = Memory::map(ActTiles::bytes(columns, in, form));
  ActTiles tiles = ActTiles::make(memory->data(), columns, in, form,
                                  tile_columns(table, columns, in), even_tiles(table));
  const auto scratch = Memory::map(static_cast<uint64_t>(table.scratch_bytes) + 1);
  for (int64_t r = 0; r < columns; ++r) tiles.put(table, r, 0, x.data() + r * in, in);
  std::vector<float> y(static_cast<size_t>(columns * rows));
  for (auto _ : state) {
    multiply(table, **w, tiles, {{y.data(), columns, rows, rows}, nullptr, false},
             {scratch->data(), nullptr});
    benchmark::ClobberMemory();
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GOP/s"] = benchmark::Counter(
      2e-9 * runs * static_cast<double>(rows * in * columns), benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(1e-9 * runs * static_cast<double>((*w)->bytes()),
                                              benchmark::Counter::kIsRate);
}

void add(const KernelTable* table, DType type, const char* where, int64_t rows, int64_t in,
         int64_t columns) {
  const std::string name = std::string(table->name) + "/" + std::string(dtype_name(type)) + "/" +
                           where + "/" + std::to_string(columns);
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    run_product(state, *table, type, rows, in, columns);
  });
}

// A chunk of 256 tokens, heads of 128, against `columns` queries; K and V stay in the second-level
// cache. Items of soften are scores.
void add_attention(const KernelTable* table, int columns) {
  struct Data {
    std::vector<uint8_t> pages = std::vector<uint8_t>(kChunkPages * 8448, 7);
    std::vector<int8_t> q = std::vector<int8_t>(kMaxColumns * 128, 3);
    std::vector<uint8_t> p = std::vector<uint8_t>(kMaxColumns * kChunk, 5);
    std::vector<float> p_scale = std::vector<float>(kChunkPages * kMaxColumns, 1.0f);
    std::vector<float> q_scale = std::vector<float>(kMaxColumns, 1e-3f);
    std::vector<int32_t> q_offset = std::vector<int32_t>(kMaxColumns, -5);
    std::vector<float> scores = random_floats(kMaxColumns * kChunk, 1);
    std::vector<float> v_scales = std::vector<float>(kPage, 1.0f),
                       acc = std::vector<float>(128 * kMaxColumns);
    const uint8_t* at[kChunkPages];
    const int8_t* values[kChunkPages];
    const float* scales[kChunkPages];
    float top[kMaxColumns], sum[kMaxColumns];
  };
  auto data = std::make_shared<Data>();
  for (int64_t i = 0; i < kChunkPages; ++i) {
    data->at[i] = data->pages.data() + i * 8448;
    data->values[i] = reinterpret_cast<const int8_t*>(data->at[i]) + 4224;
    data->scales[i] = data->v_scales.data();
  }
  const AttentionKernels* kernels = table->attention;
  auto rate = [](benchmark::State& state, double per_run) {
    state.counters["G/s"] = benchmark::Counter(
        1e-9 * static_cast<double>(state.iterations()) * per_run, benchmark::Counter::kIsRate);
  };
  const std::string name = std::string(table->name) + "/attention/";
  if (columns <= kernels->score_columns)
    benchmark::RegisterBenchmark(
        (name + "score/" + std::to_string(columns)).c_str(), [=](benchmark::State& state) {
          const ScoreArgs args{
              data->at,           nullptr, kChunkPages,          32,
              data->q.data(),     128,     data->q_scale.data(), data->q_offset.data(),
              data->scores.data()};
          for (auto _ : state) {
            kernels->score[columns - 1](args);
            benchmark::ClobberMemory();
          }
          rate(state, 2.0 * kChunk * 128 * columns);
        });
  if (columns <= kernels->weigh_columns)
    benchmark::RegisterBenchmark(
        (name + "weigh/" + std::to_string(columns)).c_str(), [=](benchmark::State& state) {
          const WeighArgs args{
              data->values,         nullptr,          kChunkPages, 8, data->p.data(),
              data->p_scale.data(), data->acc.data(), 128};
          for (auto _ : state) {
            kernels->weigh[columns - 1](args);
            benchmark::ClobberMemory();
          }
          rate(state, 2.0 * kChunk * 128 * columns);
        });
  benchmark::RegisterBenchmark(
      (name + "soften/" + std::to_string(columns)).c_str(), [=](benchmark::State& state) {
        const std::vector<int32_t> from(kMaxColumns, 0), to(kMaxColumns, kChunk);
        const SoftenArgs args{
            data->scores.data(), columns,        kChunkPages,          from.data(), to.data(),
            data->scales,        data->p.data(), data->p_scale.data(), data->top,   data->sum};
        for (auto _ : state) {
          kernels->soften(args);
          benchmark::ClobberMemory();
        }
        rate(state, static_cast<double>(kChunk * columns));
      });
}

constexpr int64_t kHeads = 8;

// Chunks of several heads in turn, from the second-level cache, as in decode: scores to weighted
// sums in one call; multiply and add of both products.
void add_attend(const KernelTable* table, int64_t columns) {
  struct Data {
    std::vector<uint8_t> pages = std::vector<uint8_t>(kHeads * kChunkPages * 8448, 7);
    std::vector<int8_t> q = std::vector<int8_t>(kAttendColumns * 128, 3);
    std::vector<float> q_scale = std::vector<float>(kAttendColumns, 1e-3f);
    std::vector<int32_t> q_offset = std::vector<int32_t>(kAttendColumns, -5),
                         from = std::vector<int32_t>(kAttendColumns, 0),
                         to = std::vector<int32_t>(kAttendColumns, kChunk);
    std::vector<float> v_scales = std::vector<float>(kPage, 1.0f), top, sum, acc;
    const uint8_t* keys[kHeads][kChunkPages];
    const int8_t* values[kHeads][kChunkPages];
    const float* scales[kChunkPages];
    alignas(64) std::byte scratch[kAttendScratch];
  };
  auto data = std::make_shared<Data>();
  data->top.resize(kAttendColumns);
  data->sum.resize(kAttendColumns);
  data->acc.resize(kAttendColumns * 128);
  for (int64_t i = 0; i < kHeads * kChunkPages; ++i) {
    uint8_t* page = data->pages.data() + i * 8448;
    const auto noise = random_floats(8448, static_cast<uint32_t>(i));
    for (size_t k = 0; k < noise.size(); ++k)
      page[k] = static_cast<uint8_t>(static_cast<int>(60 * noise[k]) + (k < 4096 ? 128 : 0));
    std::fill_n(reinterpret_cast<float*>(page + 4096), kPage, 0.01f);
    data->keys[i / kChunkPages][i % kChunkPages] = page;
    data->values[i / kChunkPages][i % kChunkPages] = reinterpret_cast<const int8_t*>(page) + 4224;
    data->scales[i % kChunkPages] = data->v_scales.data();
  }
  const std::string name =
      std::string(table->name) + "/attention/attend/" + std::to_string(columns);
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    AttendArgs args{.keys = data->keys[0],
                    .values = data->values[0],
                    .v_scales = data->scales,
                    .ahead = nullptr,
                    .n_pages = kChunkPages,
                    .groups = 32,
                    .panels = 8,
                    .n_columns = columns,
                    .q = data->q.data(),
                    .q_stride = 128,
                    .q_scale = data->q_scale.data(),
                    .q_offset = data->q_offset.data(),
                    .from = data->from.data(),
                    .to = data->to.data(),
                    .top = data->top.data(),
                    .sum = data->sum.data(),
                    .acc = data->acc.data(),
                    .acc_stride = 128,
                    .scratch = data->scratch};
    int64_t head = 0;
    for (auto _ : state) {
      args.keys = data->keys[head];
      args.values = data->values[head];
      head = (head + 1) % kHeads;
      table->attention->attend(args);
      benchmark::ClobberMemory();
    }
    state.counters["G/s"] =
        benchmark::Counter(1e-9 * static_cast<double>(state.iterations()) * 4.0 * kChunk * 128 *
                               static_cast<double>(columns),
                           benchmark::Counter::kIsRate);
  });
}

}  // namespace
}  // namespace xh::cpu

int main(int argc, char** argv) {
  using namespace xh::cpu;
  for (const KernelTable* table : runnable_tables()) {
    for (xh::DType type : kWeightTypes) {
      for (int64_t columns : {1, 2, 4, 8, 16, 32, 64, 512})
        add(table, type, "cache", 256, 1024, columns);
      // 150 MB at 4.5 bits a weight; a processor with that much cache keeps a part of it
      for (int64_t columns : {1, 2, 4, 8, 16, 32})
        add(table, type, "memory", 262144, 1024, columns);
    }
    add_rows(table);
    for (int columns : {1, 2, 4, 6, 8, 12}) add_attention(table, columns);
    if (table->attention->attend)
      for (int columns : {1, 2, 8, 16, 32, 48}) add_attend(table, columns);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
