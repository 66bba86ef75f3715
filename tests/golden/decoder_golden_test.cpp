// Tiny random models of each family against the logits transformers computed for them
// (tools/make_model_fixtures.py), on every backend, however the prompt is cut up.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

#include "compute/cpu/cpu_compute.h"
#include "model/decoder.h"

namespace xh {
namespace {

const std::string kModels = std::string(XH_SOURCE_DIR) + "/tests/fixtures/models/";

template <class T>
std::vector<T> read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  EXPECT_TRUE(in) << path;
  std::vector<T> out(static_cast<size_t>(in.tellg()) / sizeof(T));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(out.data()),
          static_cast<std::streamsize>(out.size() * sizeof(T)));
  return out;
}

// Σ(a−b)² / Σb²
double nmse(std::span<const float> a, std::span<const float> b) {
  double error = 0, power = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    power += double{b[i]} * b[i];
  }
  return error / power;
}

// A model with a KV store of interleaved pages, so that a wrong page shows.
struct Rig {
  std::unique_ptr<Compute> compute;
  std::unique_ptr<Decoder> model;
  std::unique_ptr<KvStore> kv;
  int32_t vocab = 0;

  Rig(const std::string& backend, const std::string& name) {
    if (backend == "reference") {
      compute = make_reference_compute();
    } else {
      auto cpu = make_cpu_compute({.threads = 2});
      if (!cpu) throw std::runtime_error(cpu.error().to_string());
      compute = std::move(*cpu);
    }
    auto file = ModelFile::open(kModels + name + ".gguf");
    if (!file) throw std::runtime_error(file.error().to_string());
    auto loaded =
        Decoder::load(std::move(*file), *compute, {.max_batch_rows = 256, .max_logit_rows = 256});
    if (!loaded) throw std::runtime_error(loaded.error().to_string());
    model = std::move(*loaded);
    auto store = model->make_kv_store(KvType::kF32, 32);
    if (!store) throw std::runtime_error(store.error().to_string());
    kv = std::move(*store);
    vocab = model->info().vocab_size;
  }

  struct Part {
    std::span<const int32_t> tokens;
    int32_t first_pos;
    std::span<const PageId> pages;
  };
  // Logits of every row, in order.
  std::vector<float> run(const std::vector<Part>& parts) {
    std::vector<int32_t> tokens;
    std::vector<SequenceRows> sequences;
    for (const auto& p : parts) {
      sequences.push_back({static_cast<int32_t>(tokens.size()),
                           static_cast<int32_t>(p.tokens.size()), p.first_pos, p.pages});
      tokens.insert(tokens.end(), p.tokens.begin(), p.tokens.end());
    }
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    MatView logits = model->forward({tokens, sequences, rows}, *kv);
    return {logits.data, logits.data + logits.rows * logits.cols};
  }
};

using Case = std::tuple<std::string, std::string>;  // backend, model
class Golden : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto [backend, name] = GetParam();
    rig = std::make_unique<Rig>(backend, name);
    ids = read_all<int32_t>(kModels + name + ".ids");
    expected = read_all<float>(kModels + name + ".logits");
  }
  std::vector<float> chunked(int32_t step, std::span<const PageId> pages) {
    std::vector<float> out;
    for (size_t at = 0; at < ids.size(); at += static_cast<size_t>(step)) {
      auto n = std::min<size_t>(static_cast<size_t>(step), ids.size() - at);
      auto part = rig->run({{{ids.data() + at, n}, static_cast<int32_t>(at), pages}});
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }

  std::unique_ptr<Rig> rig;
  std::vector<int32_t> ids;
  std::vector<float> expected;
  const std::vector<PageId> pages_a{5, 2, 9}, pages_b{1, 7, 3}, pages_c{0, 4, 8};
};

TEST_P(Golden, OneShotEqualsTransformers) {
  EXPECT_LT(nmse(rig->run({{ids, 0, pages_a}}), expected), 1e-6);
}

TEST_P(Golden, ChunksAndSingleTokensGiveTheSameBits) {
  auto whole = rig->run({{ids, 0, pages_a}});
  EXPECT_EQ(chunked(1, pages_b), whole);
  EXPECT_EQ(chunked(7, pages_c), whole);
  EXPECT_EQ(chunked(33, pages_b), whole);
}

TEST_P(Golden, MixedBatchesGiveTheSameBits) {
  auto whole = rig->run({{ids, 0, pages_a}});
  // Prefill the first 40 of one sequence while another decodes its 21st token and a third starts.
  rig->run({{{ids.data(), 20}, 0, pages_b}});
  auto mixed = rig->run({{{ids.data() + 20, 1}, 20, pages_b},
                         {{ids.data(), 40}, 0, pages_c},
                         {{ids.data(), 3}, 0, pages_a}});
  auto row = [&](const std::vector<float>& all, size_t r) {
    auto v = static_cast<size_t>(rig->vocab);
    return std::vector<float>(all.begin() + static_cast<long>(r * v),
                              all.begin() + static_cast<long>((r + 1) * v));
  };
  EXPECT_EQ(row(mixed, 0), row(whole, 20));
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(row(mixed, 1 + i), row(whole, i)) << i;
  EXPECT_EQ(row(mixed, 43), row(whole, 2));
}

TEST_P(Golden, WarmingUpChangesNothing) {
  const auto cold = rig->run({{ids, 0, pages_a}});
  rig->model->warm_up(*rig->kv);
  EXPECT_EQ(rig->run({{ids, 0, pages_c}}), cold);  // the first of them is the page it wrote to
}

TEST_P(Golden, CopiedPagesGoOnWhereTheSourceStopped) {
  auto whole = rig->run({{ids, 0, pages_a}});
  rig->kv->copy_page(11, 5, kPageTokens);
  rig->kv->copy_page(12, 2, 10);
  std::vector<std::byte> image(rig->kv->page_bytes());
  rig->kv->read_page(11, image);
  rig->kv->write_page(13, image);
  const std::vector<PageId> pages{13, 12, 14};
  auto rest = rig->run({{{ids.data() + 42, ids.size() - 42}, 42, pages}});
  auto tail = std::vector<float>(whole.end() - static_cast<long>(rest.size()), whole.end());
  EXPECT_EQ(rest, tail);
}

INSTANTIATE_TEST_SUITE_P(
    Families, Golden,
    testing::Combine(testing::Values("reference", "cpu"),
                     testing::Values("llama", "llama_bias_llama3", "llama_linear", "llama_dynamic",
                                     "qwen2", "qwen2_yarn", "qwen3")),
    [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param); });

}  // namespace
}  // namespace xh
