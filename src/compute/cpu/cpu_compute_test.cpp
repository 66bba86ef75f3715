// The operations against the reference backend, and the promise that a row's bits depend neither on
// the batch around it nor on the number of threads.
#include "compute/cpu/cpu_compute.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "compute/cpu/kernels/dispatch.h"
#include "compute/cpu/random_tensor_test.h"

namespace xh::cpu {
namespace {

constexpr int64_t kMaxRows = 24;

std::unique_ptr<Compute> make(const char* isa, int32_t threads,
                              std::vector<MemoryNode> nodes = {}) {
  setenv("XIAOHU_ISA", isa, 1);
  auto compute = make_cpu_compute({.threads = threads, .nodes = std::move(nodes)});
  unsetenv("XIAOHU_ISA");
  EXPECT_TRUE(compute);
  EXPECT_TRUE((*compute)->reserve(kMaxRows, 1024, 1024));
  return std::move(*compute);
}

// Σ (a - b)² / Σ b²
double nmse(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    size += static_cast<double>(b[i]) * b[i];
  }
  return error / size;
}

// Narrow models and wide ones take activations in different forms.
constexpr int64_t kNarrow = 256, kWide = 1024;

struct Layer {
  static constexpr int64_t kFf = 512, kKv = 80;
  int64_t hidden;
  RandomTensor q, k, gate, up, down;
  std::vector<float> norm, bias;

  explicit Layer(DType type, DType other, int64_t width)
      : hidden(width),
        q(random_tensor(type, hidden, hidden, 1)),
        k(random_tensor(other, kKv, hidden, 2)),
        gate(random_tensor(type, kFf, hidden, 3)),
        up(random_tensor(other, kFf, hidden, 4)),
        down(random_tensor(type, hidden, kFf, 5)),
        norm(random_floats(hidden, 6)),
        bias(random_floats(hidden, 7)) {}
};

// Everything one layer computes but attention; rows of x are independent.
struct Results {
  std::vector<float> q, k, residual, logits;
};
Results run_layer(Compute& compute, const Layer& l, const std::vector<float>& x, int64_t rows) {
  auto q = compute.prepare(l.q.view, "q"), k = compute.prepare(l.k.view, "k"),
       gate = compute.prepare(l.gate.view, "gate"), up = compute.prepare(l.up.view, "up"),
       down = compute.prepare(l.down.view, "down");
  EXPECT_TRUE(q && k && gate && up && down);
  const int64_t hidden = l.hidden, kv = Layer::kKv;
  Results r;
  r.q.resize(static_cast<size_t>(rows * hidden));
  r.k.resize(static_cast<size_t>(rows * kv));
  r.logits.resize(static_cast<size_t>(rows * kv));
  r.residual = x;
  std::vector<float> input = x;
  const MatView in{input.data(), rows, hidden, hidden}, q_out{r.q.data(), rows, hidden, hidden},
      k_out{r.k.data(), rows, kv, kv}, residual{r.residual.data(), rows, hidden, hidden};
  const Norm norm{l.norm.data(), 1e-5f};
  const Projection outs[] = {{q->get(), l.bias.data(), q_out}, {k->get(), nullptr, k_out}};
  compute.norm_project(in, norm, outs);
  compute.project_add(q_out, **q, l.bias.data(), residual);
  compute.gated_ffn({norm, gate->get(), up->get(), down->get(), Activation::kSilu}, residual);
  std::vector<int32_t> all;
  for (int64_t i = rows - 1; i >= 0; --i) all.push_back(static_cast<int32_t>(i));
  compute.head(residual, all, norm, **k, {r.logits.data(), rows, kv, kv});
  return r;
}

class EveryIsa : public testing::TestWithParam<const KernelTable*> {
 protected:
  const char* isa() const { return GetParam()->name; }
};
INSTANTIATE_TEST_SUITE_P(Cpu, EveryIsa, testing::ValuesIn(runnable_tables()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(EveryIsa, LayerMatchesReference) {
  auto reference = make_reference_compute();
  auto compute = make(isa(), 3);
  const int64_t rows = 11;
  for (DType type : kWeightTypes) {
    for (const auto& [other, hidden] :
         {std::pair{type, kNarrow}, {DType::kF16, kNarrow}, {type, kWide}}) {
      // One of each way to scale is enough for the wide form, which is slow to compare.
      if (hidden == kWide && type != DType::kQ4_0 && type != DType::kQ4_K && type != DType::kQ6_K)
        continue;
      const auto x = random_floats(rows * hidden, 9);
      const Layer layer(type, other, hidden);
      const Results want = run_layer(*reference, layer, x, rows);
      const Results got = run_layer(*compute, layer, x, rows);
      auto plain = [](DType t) {
        return t == DType::kF32 || t == DType::kF16 || t == DType::kBF16;
      };
      // Quantised activations carry about 1/250 of noise per value.
      const double limit = plain(type) && plain(other) ? 1e-10 : 2e-4;
      SCOPED_TRACE(std::string(dtype_name(type)) + " " + std::string(dtype_name(other)) + " " +
                   std::to_string(hidden));
      EXPECT_LT(nmse(got.q, want.q), limit);
      EXPECT_LT(nmse(got.k, want.k), limit);
      EXPECT_LT(nmse(got.residual, want.residual), 4 * limit);
      EXPECT_LT(nmse(got.logits, want.logits), 8 * limit);
    }
  }
}

TEST_P(EveryIsa, RowsHaveTheSameBitsInEveryBatch) {
  const int64_t kv = Layer::kKv;
  for (const auto& [type, hidden] : {std::pair{DType::kQ4_0, kNarrow},
                                     {DType::kQ4_K, kNarrow},
                                     {DType::kQ6_K, kNarrow},
                                     {DType::kF16, kNarrow},
                                     {DType::kQ4_0, kWide}}) {
    const Layer layer(type, DType::kQ8_0, hidden);
    const auto x = random_floats(kMaxRows * hidden, 10);
    auto one = make(isa(), 1);
    std::vector<Results> alone;
    for (int64_t r = 0; r < kMaxRows; ++r)
      alone.push_back(
          run_layer(*one, layer, {x.begin() + r * hidden, x.begin() + (r + 1) * hidden}, 1));
    for (int32_t threads : {1, 2, 3}) {
      auto compute = make(isa(), threads);
      for (int64_t rows : {2, 3, 9, 24}) {
        const Results got =
            run_layer(*compute, layer, {x.begin(), x.begin() + rows * hidden}, rows);
        for (int64_t r = 0; r < rows; ++r) {
          const auto& want = alone[static_cast<size_t>(r)];
          auto same = [&](const std::vector<float>& a, const std::vector<float>& b, int64_t width,
                          int64_t row) {
            return std::memcmp(a.data() + row * width, b.data(),
                               static_cast<size_t>(width) * sizeof(float)) == 0;
          };
          ASSERT_TRUE(same(got.q, want.q, hidden, r));
          ASSERT_TRUE(same(got.residual, want.residual, hidden, r)) << rows << " " << r;
          ASSERT_TRUE(same(got.logits, want.logits, kv, rows - 1 - r));
        }
      }
    }
  }
}

// Nodes that this machine lacks: their memory cannot be had, but the work is split as if.
TEST_P(EveryIsa, MemoryNodesChangeNoBit) {
  const std::vector<MemoryNode> nodes = {
      {0, CpuSet().set(), 3}, {1, CpuSet().set(), 1}, {2, CpuSet().set(), 2}};
  const Layer layer(DType::kQ4_0, DType::kQ8_0, kNarrow);
  const auto x = random_floats(kMaxRows * layer.hidden, 11);
  auto one = make(isa(), 1);
  const Results want = run_layer(*one, layer, x, kMaxRows);
  for (int32_t threads : {2, 4, 7}) {
    auto compute = make(isa(), threads, nodes);
    EXPECT_NE(compute->description().find(threads == 2 ? "2 memory nodes" : "3 memory nodes"),
              std::string::npos)
        << compute->description();
    const Results got = run_layer(*compute, layer, x, kMaxRows);
    EXPECT_EQ(got.q, want.q);
    EXPECT_EQ(got.k, want.k);
    EXPECT_EQ(got.residual, want.residual);
    EXPECT_EQ(got.logits, want.logits);
    EXPECT_TRUE(compute->make_kv_store({{{2, 64, 64}}, KvType::kQ8}, 3));
  }
}

TEST_P(EveryIsa, EmbedsAndRotates) {
  auto reference = make_reference_compute();
  auto compute = make(isa(), 2);
  const RandomTensor t = random_tensor(DType::kQ6_K, 50, 256, 4);
  auto a = reference->prepare(t.view, "t"), b = compute->prepare(t.view, "t");
  ASSERT_TRUE(a && b);
  const std::vector<int32_t> ids = {0, 49, 16, 7, 16};
  std::vector<float> want(5 * 256), got(5 * 256);
  reference->embed(**a, ids, 2.5f, {want.data(), 5, 256, 256});
  compute->embed(**b, ids, 2.5f, {got.data(), 5, 256, 256});
  EXPECT_EQ(want, got);
  Rope rope;
  rope.dims = 8;
  rope.inv_freq = {1.0f, 0.1f, 0.01f, 0.001f};
  rope.magnitude = 1.2f;
  std::vector<float> table_a(5 * 8), table_b(5 * 8);
  reference->rope_table(rope, ids, {table_a.data(), 5, 8, 8});
  compute->rope_table(rope, ids, {table_b.data(), 5, 8, 8});
  EXPECT_EQ(table_a, table_b);
}

TEST(CpuCompute, RefusesWhatItCannotRun) {
  setenv("XIAOHU_ISA", "vax", 1);
  auto compute = make_cpu_compute({});
  unsetenv("XIAOHU_ISA");
  ASSERT_FALSE(compute);
  EXPECT_NE(compute.error().to_string().find("XIAOHU_ISA"), std::string::npos);
  EXPECT_FALSE(make_cpu_compute({-1}));
  setenv("XIAOHU_NUMA", "perhaps", 1);
  compute = make_cpu_compute({});
  unsetenv("XIAOHU_NUMA");
  ASSERT_FALSE(compute);
  EXPECT_NE(compute.error().to_string().find("XIAOHU_NUMA"), std::string::npos);
}

}  // namespace
}  // namespace xh::cpu
