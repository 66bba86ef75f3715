// Attention against a plain double computation: odd lengths, chunkings, groups, head sizes,
// windows; and the promise that neither the cut of a prompt nor the batch nor the threads change a
// bit.
#include "compute/cpu/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "compute/cpu/cpu_compute.h"
#include "compute/cpu/kernels/dispatch.h"
#include "compute/cpu/random_tensor_test.h"

namespace xh::cpu {
namespace {

struct Shape4 {
  int32_t heads, kv_heads, dim;
  int32_t window = 0;
  float softcap = 0;
  bool rope = true, interleaved = false, qk_norm = false;
};

// A sequence of `n` tokens with its queries, keys and values before rotation.
struct Input {
  Shape4 shape;
  int32_t n;
  std::vector<float> q, k, v, q_norm, k_norm;
  Rope rope;

  Input(Shape4 s, int32_t tokens) : shape(s), n(tokens) {
    q = random_floats(int64_t{n} * s.heads * s.dim, 1);
    k = random_floats(int64_t{n} * s.kv_heads * s.dim, 2);
    v = random_floats(int64_t{n} * s.kv_heads * s.dim, 3);
    q_norm = random_floats(s.dim, 4);
    k_norm = random_floats(s.dim, 5);
    rope.dims = s.dim / 2 / 2 * 2;
    rope.interleaved = s.interleaved;
    for (int32_t i = 0; i < rope.dims / 2; ++i)
      rope.inv_freq.push_back(
          std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(rope.dims)));
  }
};

std::vector<double> prepared(const Input& in, const std::vector<float>& x, int32_t heads,
                             const std::vector<float>& norm) {
  std::vector<double> y(x.begin(), x.end());
  const int32_t dim = in.shape.dim, half = in.rope.dims / 2;
  for (int32_t t = 0; t < in.n; ++t) {
    for (int32_t h = 0; h < heads; ++h) {
      double* p = y.data() + (t * heads + h) * dim;
      if (in.shape.qk_norm) {
        double sum = 0;
        for (int32_t i = 0; i < dim; ++i) sum += p[i] * p[i];
        for (int32_t i = 0; i < dim; ++i)
          p[i] = p[i] / std::sqrt(sum / dim + 1e-6) * norm[static_cast<size_t>(i)];
      }
      for (int32_t i = 0; in.shape.rope && i < half; ++i) {
        const double angle = static_cast<float>(t) * in.rope.inv_freq[static_cast<size_t>(i)];
        double& a = p[in.rope.interleaved ? 2 * i : i];
        double& b = p[in.rope.interleaved ? 2 * i + 1 : i + half];
        const double x0 = a, y0 = b;
        a = x0 * std::cos(angle) - y0 * std::sin(angle);
        b = y0 * std::cos(angle) + x0 * std::sin(angle);
      }
    }
  }
  return y;
}

std::vector<double> naive(const Input& in) {
  const Shape4& s = in.shape;
  const auto q = prepared(in, in.q, s.heads, in.q_norm),
             k = prepared(in, in.k, s.kv_heads, in.k_norm);
  std::vector<double> out(in.q.size());
  for (int32_t t = 0; t < in.n; ++t) {
    for (int32_t h = 0; h < s.heads; ++h) {
      const int32_t g = h / (s.heads / s.kv_heads);
      const int32_t begin = s.window > 0 ? std::max(0, t + 1 - s.window) : 0;
      std::vector<double> score;
      for (int32_t j = begin; j <= t; ++j) {
        double dot = 0;
        for (int32_t i = 0; i < s.dim; ++i)
          dot += q[static_cast<size_t>((t * s.heads + h) * s.dim + i)] *
                 k[static_cast<size_t>((j * s.kv_heads + g) * s.dim + i)];
        dot /= std::sqrt(static_cast<double>(s.dim));
        score.push_back(s.softcap > 0 ? s.softcap * std::tanh(dot / s.softcap) : dot);
      }
      const double top = *std::max_element(score.begin(), score.end());
      double sum = 0;
      for (double& x : score) sum += x = std::exp(x - top);
      for (int32_t i = 0; i < s.dim; ++i) {
        double value = 0;
        for (int32_t j = begin; j <= t; ++j)
          value += score[static_cast<size_t>(j - begin)] *
                   in.v[static_cast<size_t>((j * s.kv_heads + g) * s.dim + i)];
        out[static_cast<size_t>((t * s.heads + h) * s.dim + i)] = value / sum;
      }
    }
  }
  return out;
}

// Runs rows [begin, end) of each input as one batch; pages of sequence i are 1000·i apart and
// reversed.
struct Runner {
  std::unique_ptr<Compute> compute;
  std::unique_ptr<KvStore> kv;

  Runner(const char* isa, int32_t threads, KvType type, const Shape4& s, int32_t n_pages) {
    setenv("XIAOHU_ISA", isa, 1);
    compute = std::move(*make_cpu_compute({threads}));
    unsetenv("XIAOHU_ISA");
    EXPECT_TRUE(compute->reserve(8, 64, 64));
    KvLayout layout;
    layout.type = type;
    layout.layers = {{1, 8, 8}, {s.kv_heads, s.dim, s.dim}};
    auto store = compute->make_kv_store(layout, n_pages);
    EXPECT_TRUE(store);
    kv = std::move(*store);
  }

  // out: appended per sequence, (rows, heads · dim).
  void run(const std::vector<const Input*>& inputs, const std::vector<std::vector<PageId>>& pages,
           const std::vector<std::pair<int32_t, int32_t>>& ranges,
           std::vector<std::vector<float>>& outs) {
    const Shape4& s = inputs[0]->shape;
    std::vector<SequenceRows> sequences;
    std::vector<float> q, k, v;
    std::vector<int32_t> positions;
    const int32_t qw = s.heads * s.dim, kw = s.kv_heads * s.dim;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto [begin, end] = ranges[i];
      sequences.push_back({static_cast<int32_t>(positions.size()), end - begin, begin, pages[i]});
      q.insert(q.end(), inputs[i]->q.begin() + begin * qw, inputs[i]->q.begin() + end * qw);
      k.insert(k.end(), inputs[i]->k.begin() + begin * kw, inputs[i]->k.begin() + end * kw);
      v.insert(v.end(), inputs[i]->v.begin() + begin * kw, inputs[i]->v.begin() + end * kw);
      for (int32_t p = begin; p < end; ++p) positions.push_back(p);
    }
    const auto rows = static_cast<int64_t>(positions.size());
    const Rope& rope = inputs[0]->rope;
    std::vector<float> table(static_cast<size_t>(rows * rope.dims)), out(q.size());
    AttentionCall call;
    call.layer = 1;
    call.n_heads = s.heads;
    call.n_kv_heads = s.kv_heads;
    call.head_dim = s.dim;
    call.scale = 1.0f / std::sqrt(static_cast<float>(s.dim));
    call.window = s.window;
    call.softcap = s.softcap;
    if (s.qk_norm) {
      call.q_norm = inputs[0]->q_norm.data();
      call.k_norm = inputs[0]->k_norm.data();
    }
    if (s.rope) {
      call.rope = &rope;
      call.rope_table = {table.data(), rows, rope.dims, rope.dims};
      compute->rope_table(rope, positions, call.rope_table);
    }
    call.q = {q.data(), rows, qw, qw};
    call.k = {k.data(), rows, kw, kw};
    call.v = {v.data(), rows, kw, kw};
    call.out = {out.data(), rows, qw, qw};
    call.sequences = sequences;
    compute->attention(call, *kv);
    for (size_t i = 0; i < inputs.size(); ++i)
      outs[i].insert(outs[i].end(), out.begin() + sequences[i].first_row * qw,
                     out.begin() + (sequences[i].first_row + sequences[i].n_rows) * qw);
  }
};

std::vector<PageId> page_list(int32_t first, int32_t tokens) {
  std::vector<PageId> pages(static_cast<size_t>((tokens + kPageTokens - 1) / kPageTokens));
  std::iota(pages.rbegin(), pages.rend(), first);
  return pages;
}

// One sequence, cut into pieces of `piece` rows (0: whole).
std::vector<float> run_alone(Runner& runner, const Input& in, int32_t piece) {
  std::vector<std::vector<float>> out(1);
  const auto pages = page_list(1, in.n);
  for (int32_t begin = 0; begin < in.n;) {
    const int32_t end = piece == 0 ? in.n : std::min(in.n, begin + piece);
    runner.run({&in}, {pages}, {{begin, end}}, out);
    begin = end;
  }
  return out[0];
}

// What the threads' next_layer() names together, in pieces of `piece` bytes.
std::vector<const std::byte*> named(const AttentionRunner& runner, int32_t threads, int64_t piece) {
  std::vector<const std::byte*> out;
  for (int32_t t = 0; t < threads; ++t)
    while (const std::byte* p = runner.next_layer(t).take(piece)) out.push_back(p);
  std::sort(out.begin(), out.end());
  return out;
}

TEST(Attention, NamesWhatTheNextLayerWillRead) {
  constexpr int32_t kThreads = 2, kHeads = 2, kDim = 16, kRows = 10;
  constexpr int32_t kPositions[kRows] = {0, 70, 31, 300, 64, 63, 32, 5, 255, 256};
  auto store =
      KvPages::make({.layers = {3, {kHeads, kDim, kDim}}, .type = KvType::kQ8}, 10 * kRows);
  ASSERT_TRUE(store);
  KvPages& kv = **store;
  std::vector<std::vector<PageId>> pages;
  std::vector<SequenceRows> sequences;
  std::vector<const std::byte*> expected;
  for (int32_t r = 0; r < kRows; ++r) {
    pages.push_back(page_list(10 * r, kPositions[r] + 1));
    sequences.push_back({r, 1, kPositions[r], pages.back()});
    for (const PageId page : pages.back())
      for (int32_t h = 0; h < kHeads; ++h) expected.push_back(kv.at(0, page, h));
  }
  std::sort(expected.begin(), expected.end());
  const int64_t bytes = kv.head(0).bytes;

  auto memory = random_floats(4 * kRows * kHeads * kDim, 1);
  auto rows = [&](int i) {
    return MatView{memory.data() + i * kRows * kHeads * kDim, kRows, kHeads * kDim, kHeads * kDim};
  };
  AttentionCall call{.layer = 2, .n_heads = kHeads, .n_kv_heads = kHeads, .head_dim = kDim};
  call.q = rows(0), call.k = rows(1), call.v = rows(2), call.out = rows(3);
  call.sequences = sequences;
  ThreadPool pool(kThreads);
  for (const int64_t most : {int64_t{0}, int64_t{1}, 4 * bytes, int64_t{1} << 30}) {
    SCOPED_TRACE(most);
    AttentionRunner runner(*runnable_tables().back(), pool, most);
    ASSERT_TRUE(runner.reserve());
    runner.run(call, kv);
    const auto got = named(runner, kThreads, bytes);
    EXPECT_EQ(std::adjacent_find(got.begin(), got.end()), got.end()) << "twice";
    EXPECT_TRUE(std::includes(expected.begin(), expected.end(), got.begin(), got.end()));
    EXPECT_EQ(got.empty(), most == 0);
    EXPECT_EQ(got.size() == expected.size(), most == int64_t{1} << 30);
    call.sequences = {sequences.data(), 1};  // products wait for memory themselves
    call.q.rows = 1;
    runner.run(call, kv);
    EXPECT_TRUE(named(runner, kThreads, bytes).empty());
    call.sequences = sequences;
    call.q.rows = kRows;
  }
}

class AttentionEveryIsa : public testing::TestWithParam<const KernelTable*> {};
INSTANTIATE_TEST_SUITE_P(Attention, AttentionEveryIsa, testing::ValuesIn(runnable_tables()),
                         [](const auto& info) { return std::string(info.param->name); });

double nmse(const std::vector<float>& a, const std::vector<double>& b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return error / size;
}

TEST_P(AttentionEveryIsa, MatchesTheNaiveSum) {
  const Shape4 shapes[] = {{4, 4, 64},
                           {9, 3, 64},
                           {8, 1, 128},
                           {16, 8, 96},
                           {3, 1, 80, 0, 0, true, true},
                           {4, 2, 72, 50},
                           {4, 2, 32, 300, 0, true, false, true},
                           {5, 1, 16, 0, 20.0f, false},
                           {2, 2, 10}};
  for (const Shape4& s : shapes) {
    for (int32_t n : {1, 33, 270}) {
      const Input in(s, n);
      const auto want = naive(in);
      // Keys and values in halves: 2^-11 each; in 8 bits: about 1/250; values in 4: about 1/13.
      for (auto [type, limit] : {std::pair{KvType::kF32, 1e-11},
                                 {KvType::kF16, 1e-6},
                                 {KvType::kQ8, 1e-3},
                                 {KvType::kQ4, 2e-2}}) {
        Runner runner(GetParam()->name, 2, type, s, 20);
        EXPECT_LT(nmse(run_alone(runner, in, 0), want), limit)
            << s.heads << "/" << s.kv_heads << " dim " << s.dim << " n " << n << " "
            << kv_type_name(type);
      }
    }
  }
}

// The transform spreads a channel that reaches far beyond the others: its scale alone would leave
// them three bits, and an error above 1e-3.
TEST_P(AttentionEveryIsa, AnOutlyingChannelOfValuesLeavesTheOthersTheirBits) {
  const Shape4 s{4, 2, 64};
  Input in(s, 1);
  for (size_t i = 0; i < in.v.size(); i += 64) in.v[i] = 30.0f;
  Runner runner(GetParam()->name, 1, KvType::kQ8, s, 20);
  EXPECT_LT(nmse(run_alone(runner, in, 0), naive(in)), 2e-4);
}

TEST_P(AttentionEveryIsa, CutsBatchesAndThreadsChangeNoBit) {
  for (const Shape4& s : {Shape4{6, 2, 64}, Shape4{4, 1, 48, 100}, Shape4{4, 2, 64, 30}}) {
    for (KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8, KvType::kQ4}) {
      const Input in(s, 300), other(s, 77);
      Runner whole_runner(GetParam()->name, 1, type, s, 40);
      const auto whole = run_alone(whole_runner, in, 0);
      for (int32_t threads : {1, 2, 3}) {
        for (int32_t piece : {threads == 2 ? 1 : 7, 64, 257}) {
          Runner runner(GetParam()->name, threads, type, s, 40);
          const auto cut = run_alone(runner, in, piece);
          ASSERT_EQ(0, std::memcmp(whole.data(), cut.data(), whole.size() * sizeof(float)))
              << threads << " threads, pieces of " << piece << " " << kv_type_name(type);
        }
      }
      // Together with another sequence at another position.
      Runner runner(GetParam()->name, 3, type, s, 40);
      std::vector<std::vector<float>> out(2);
      const std::vector<std::vector<PageId>> pages = {page_list(0, in.n), page_list(25, other.n)};
      runner.run({&in, &other}, pages, {{0, 270}, {0, 3}}, out);
      runner.run({&in, &other}, pages, {{270, 271}, {3, 77}}, out);
      runner.run({&in}, {pages[0]}, {{271, 300}}, out);
      ASSERT_EQ(0, std::memcmp(whole.data(), out[0].data(), whole.size() * sizeof(float)));
    }
  }
}

// Four sequences that begin with the same pages, one with others, each a few tokens further: the
// same bits as alone.
TEST_P(AttentionEveryIsa, SharedPagesChangeNoBit) {
  const Shape4 s{6, 2, 64};
  const int32_t common = 544, pages_common = common / kPageTokens;
  const Input base(s, common);
  for (KvType type : {KvType::kF16, KvType::kQ8, KvType::kQ4}) {
    std::vector<Input> inputs;
    for (int32_t i = 0; i < 5; ++i) {
      inputs.emplace_back(s, common + 40);
      Input& in = inputs.back();
      for (size_t k = 0; k < in.q.size(); ++k) in.q[k] *= 1.0f + 0.1f * static_cast<float>(i);
      for (size_t k = base.k.size(); i < 4 && k < in.k.size(); ++k)
        in.k[k] += static_cast<float>(i), in.v[k] -= static_cast<float>(i);
      if (i == 4)
        for (float& x : in.v) x = -x;
    }
    std::vector<std::vector<PageId>> pages;
    std::vector<const Input*> all;
    std::vector<std::pair<int32_t, int32_t>> ranges;
    for (int32_t i = 0; i < 5; ++i) {
      std::vector<PageId> mine = page_list(0, common);
      const auto rest = page_list(pages_common + 20 * i, i == 4 ? common + 40 : 40);
      if (i == 4) mine.clear();
      mine.insert(mine.end(), rest.begin(), rest.end());
      pages.push_back(mine);
      all.push_back(&inputs[static_cast<size_t>(i)]);
      ranges.emplace_back(common, common + 1 + i % 3);
    }
    auto fill = [&](Runner& runner) {
      std::vector<std::vector<float>> ignored(2);
      runner.run({all[0], all[4]}, {pages[0], pages[4]}, {{0, common}, {0, common}}, ignored);
    };
    Runner single(GetParam()->name, 1, type, s, 130);
    fill(single);
    std::vector<std::vector<float>> alone(5);
    for (size_t i = 0; i < 5; ++i) {
      std::vector<std::vector<float>> out(1);
      single.run({all[i]}, {pages[i]}, {ranges[i]}, out);
      alone[i] = out[0];
    }
    for (int32_t threads : {1, 2, 3}) {
      Runner runner(GetParam()->name, threads, type, s, 130);
      fill(runner);
      std::vector<std::vector<float>> together(5);
      runner.run(all, pages, ranges, together);
      for (size_t i = 0; i < 5; ++i)
        ASSERT_EQ(0,
                  std::memcmp(alone[i].data(), together[i].data(), alone[i].size() * sizeof(float)))
            << "sequence " << i << ", " << threads << " threads " << kv_type_name(type);
    }
  }
}

// A page that another sequence used holds what that one left, numbers that are none included.
TEST_P(AttentionEveryIsa, WhatAPageHeldBeforeDoesNotMatter) {
  const Shape4 s{4, 2, 64};
  for (KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8, KvType::kQ4})
    for (int32_t n : {1, 5, 40, 70}) {
      const Input in(s, n);
      std::vector<float> outs[2];
      for (const int filled : {0, 1}) {
        Runner runner(GetParam()->name, 1, type, s, 8);
        for (PageId page = 0; filled && page < 8; ++page)
          for (int32_t part = 0; part < runner.kv->parts_of_page(); ++part)
            std::ranges::fill(runner.kv->page_part(page, part), std::byte{0xff});
        outs[filled] = run_alone(runner, in, 3);
      }
      EXPECT_EQ(outs[0], outs[1]) << kv_type_name(type) << ", " << n << " tokens";
    }
}

TEST(KvPages, CopiesReadsAndWritesPages) {
  const Shape4 s{4, 2, 64};
  for (KvType type : {KvType::kF16, KvType::kQ8, KvType::kQ4, KvType::kF32}) {
    const Input in(s, 40);
    Runner runner("generic", 1, type, s, 8);
    std::vector<std::vector<float>> plain(1), copied(1), loaded(1);
    const std::vector<PageId> pages = {3, 5};
    runner.run({&in}, {pages}, {{0, 39}}, plain);
    for (PageId page = 0; page < 8; ++page)  // changes nothing
      for (int32_t part = 0; part < runner.kv->parts_of_page(); ++part)
        runner.kv->prepare(page, part);
    runner.kv->copy_page(7, 5, 7);
    std::vector<std::byte> bytes(runner.kv->page_bytes());
    runner.kv->read_page(3, bytes);
    runner.kv->write_page(0, bytes);
    plain[0].clear();
    runner.run({&in}, {{0, 7}}, {{39, 40}}, copied);
    runner.run({&in}, {pages}, {{39, 40}}, plain);
    EXPECT_EQ(plain[0], copied[0]);
  }
}

TEST(KvPages, RefusesUnusableLayouts) {
  auto compute = std::move(*make_cpu_compute({1}));
  EXPECT_FALSE(compute->make_kv_store({{{1, 4000, 64}}, KvType::kF16}, 4));
  EXPECT_FALSE(compute->make_kv_store({{{1, 64, 64}}, KvType::kF16}, 0));
}

}  // namespace
}  // namespace xh::cpu
