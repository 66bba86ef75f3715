// T18: a greedy answer is the same whatever else runs, with and without prefix cache, disk,
// preemption and guesses, computed by the real kernels on a tiny model. 200 answers for each kind
// of keys and values; XIAOHU_LONG_TESTS=1 makes it 1,000.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "compute/cpu/cpu_compute.h"
#include "engine/engine.h"
#include "engine/fake_model.h"
#include "model/decoder.h"

namespace xh {
namespace {

using Tokens = std::vector<TokenId>;
constexpr int32_t kAnswer = 70;

LoadedModel tiny_model() {
  const std::string path = std::string(XH_SOURCE_DIR) + "/tests/fixtures/models/qwen3.gguf";
  LoadedModel out;
  out.compute = make_cpu_compute({.threads = 1}).value();
  DecoderOptions options;
  options.max_batch_rows = 128;
  options.max_logit_rows = 40;
  out.model = Decoder::load(ModelFile::open(path).value(), *out.compute, options).value();
  out.tokenizer = fake::make_tokenizer();  // the text does not matter
  out.info.model_name = "tiny";
  out.fingerprint = "tiny";
  return out;
}

GenerateRequest request(const Tokens& prompt) {
  GenerateRequest r;
  r.prompt = prompt;
  r.max_tokens = kAnswer;
  r.ignore_end = true;
  r.sampling.temperature = 0;
  return r;
}

Tokens read(TokenStream& stream) {
  Tokens out;
  for (;;) {
    const StreamEvent e = stream.wait();
    out.insert(out.end(), e.tokens.begin(), e.tokens.end());
    EXPECT_FALSE(e.error) << e.error->to_string();
    if (e.finish) return out;
  }
}

class OneOutput : public ::testing::TestWithParam<KvType> {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "xh_one_output_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Room for so many pages.
  std::unique_ptr<Engine> engine(EngineOptions o, uint64_t pages) {
    LoadedModel loaded = tiny_model();
    const auto probe = loaded.model->make_kv_store(GetParam(), 1).value();
    o.kv_type = GetParam();
    o.kv_budget_bytes = pages * probe->page_bytes();
    return Engine::create(std::move(loaded), o).value();
  }
  std::string folder_;
};

TEST_P(OneOutput, UnderAnyLoad) {
  const size_t n_runs = std::getenv("XIAOHU_LONG_TESTS") != nullptr ? 1000 : 200;
  std::mt19937 rng(18);
  const auto some = [&](size_t n) {
    Tokens out(n);
    for (auto& t : out) t = static_cast<TokenId>(1 + rng() % 200);
    return out;
  };
  const Tokens document = some(100);
  std::vector<Tokens> prompts, expected;
  for (int i = 0; i < 12; ++i) {
    prompts.push_back(i % 2 == 0 ? document : Tokens{});
    const Tokens rest = some(1 + rng() % 60);
    prompts.back().insert(prompts.back().end(), rest.begin(), rest.end());
  }
  {
    EngineOptions plain;
    plain.prefix_cache = plain.speculation = false;
    const auto alone = engine(plain, 64);
    for (const Tokens& prompt : prompts)
      expected.push_back(read(*alone->submit(request(prompt)).value()));
  }
  EngineStats sum;
  for (size_t runs = 0; runs < n_runs;) {
    EngineOptions o;
    o.prefix_cache = rng() % 4 != 0;
    o.speculation = rng() % 2 == 0;
    o.kv_disk_folder = folder_ + "/kv";
    o.kv_disk_bytes = rng() % 4 == 0 ? 0 : 64 << 20;
    o.kv_disk_min_pages = 1;
    o.max_batch_rows = 8 + static_cast<int32_t>(rng() % 120);
    o.max_sequences = 2 + static_cast<int32_t>(rng() % 12);
    const auto busy = engine(o, 9 + rng() % 12);
    std::vector<std::pair<size_t, std::unique_ptr<TokenStream>>> streams;
    for (int i = 0; i < 40; ++i) {
      const size_t which = rng() % prompts.size();
      GenerateRequest r = request(prompts[which]);
      r.tenant = rng() % 3 == 0 ? "b" : "a";
      r.priority = static_cast<int32_t>(rng() % 2);
      streams.emplace_back(which, busy->submit(std::move(r)).value());
      if (rng() % 8 == 0) streams.erase(streams.begin());  // somebody leaves
    }
    for (auto& [which, stream] : streams) ASSERT_EQ(read(*stream), expected[which]) << runs;
    runs += streams.size();
    const EngineStats s = busy->stats();
    sum.preemptions += s.preemptions;
    sum.guessed_tokens += s.guessed_tokens;
    sum.cached_tokens += s.cached_tokens;
    sum.kv_disk.pages_restored += s.kv_disk.pages_restored;
  }
  printf("  %lu preemptions, %lu guesses, %lu tokens cached, %lu pages restored\n", sum.preemptions,
         sum.guessed_tokens, sum.cached_tokens, sum.kv_disk.pages_restored);
  EXPECT_GT(sum.cached_tokens, 0u);
  EXPECT_GT(sum.kv_disk.pages_restored, 0u);
}

INSTANTIATE_TEST_SUITE_P(KvTypes, OneOutput,
                         ::testing::Values(KvType::kF16, KvType::kQ8, KvType::kQ4),
                         [](const auto& info) { return std::string(kv_type_name(info.param)); });

}  // namespace
}  // namespace xh
