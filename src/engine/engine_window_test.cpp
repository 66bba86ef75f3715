// Models whose every layer has a sliding window: sequences outgrow the memory, and nothing of that
// shows in their tokens.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "compute/cpu/cpu_compute.h"
#include "engine/engine.h"
#include "engine/fake_model.h"
#include "engine/page_math.h"
#include "model/decoder.h"
#include "weights/gguf_writer.h"

namespace xh {
namespace {

using Tokens = std::vector<TokenId>;
constexpr int32_t kContext = 20000;
constexpr int32_t kWindow = 100;

Tokens random_tokens(std::mt19937& rng, size_t n) {
  Tokens out(n);
  for (auto& t : out) t = static_cast<TokenId>(1 + rng() % 99);
  return out;
}

GenerateRequest greedy(Tokens prompt, int32_t max_tokens) {
  GenerateRequest r;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  r.ignore_end = true;
  r.sampling.temperature = 0;
  return r;
}

struct Answer {
  Tokens tokens;
  int32_t cached = 0, most_pages = 0;
};

Answer read_all(const Engine& engine, TokenStream& stream) {
  Answer out;
  for (;;) {
    const StreamEvent e = stream.wait();
    out.tokens.insert(out.tokens.end(), e.tokens.begin(), e.tokens.end());
    out.most_pages = std::max(out.most_pages, engine.stats().pages_used);
    EXPECT_FALSE(e.error) << e.error->to_string();
    if (!e.finish) continue;
    out.cached = e.usage.cached_tokens;
    return out;
  }
}

struct Fixture {
  std::shared_ptr<fake::Observed> observed;
  std::unique_ptr<Engine> engine;
  Answer ask(const Tokens& prompt, int32_t n) {
    return read_all(*engine, *engine->submit(greedy(prompt, n)).value());
  }
};

Fixture make_engine(int32_t pages, EngineOptions options = {}, int32_t window = kWindow) {
  auto model = std::make_unique<fake::FakeModel>(kContext, 0, window);
  Fixture f;
  f.observed = model->observed;
  if (options.max_batch_rows == EngineOptions{}.max_batch_rows) options.max_batch_rows = 64;
  options.kv_budget_bytes = static_cast<uint64_t>(pages) * kPageTokens * sizeof(int32_t);
  f.engine = Engine::create(fake::loaded(std::move(model)), options).value();
  return f;
}

// As without ends: the fake model's answer to `prompt`.
Tokens expected(const Tokens& prompt, int32_t n) {
  Tokens history = prompt, out;
  while (static_cast<int32_t>(out.size()) < n) {
    const Tokens next = fake::expected_greedy(history, 1, false, kWindow);
    out.push_back(next.empty() ? fake::kEnd : next[0]);
    history.push_back(out.back());
  }
  return out;
}

TEST(EngineWindow, HoldsNoMorePagesThanTheWindowNeeds) {
  std::mt19937 rng(1);
  const Tokens prompt = random_tokens(rng, 3000);
  EngineOptions options;
  options.prefix_cache = false;
  auto f = make_engine(400, options);
  const Answer a = f.ask(prompt, 2000);
  EXPECT_EQ(a.tokens, expected(prompt, 2000));
  EXPECT_LE(a.most_pages, pages_held(5000, kWindow, 64));
  EXPECT_LT(a.most_pages, 8);
  EXPECT_EQ(f.engine->stats().pages_used, 0);
  EXPECT_FALSE(f.observed->broken);
}

TEST(EngineWindow, AnswersAreTheSameInAnyMemory) {
  std::mt19937 rng(2);
  const Tokens prompt = random_tokens(rng, 1000);
  const Tokens right = expected(prompt, 1500);
  for (bool cache : {false, true})
    for (int32_t pages : {8, 12, 40, 1000}) {
      EngineOptions options;
      options.prefix_cache = cache;
      auto f = make_engine(pages, options);
      EXPECT_EQ(f.engine->info().context_length, kContext);
      EXPECT_EQ(f.ask(prompt, 1500).tokens, right) << pages;
      EXPECT_EQ(f.engine->stats().preemptions, 0u);
      EXPECT_FALSE(f.observed->broken);
    }
}

TEST(EngineWindow, TheNextTurnGoesOnThoughTheBeginningIsGone) {
  std::mt19937 rng(3);
  auto f = make_engine(16);
  Tokens chat = random_tokens(rng, 600);
  for (int turn = 0; turn < 5; ++turn) {
    const Answer a = f.ask(chat, 300);
    EXPECT_EQ(a.tokens, expected(chat, 300));
    // All but the last answer's last token and the new question was computed before.
    EXPECT_GE(a.cached, turn == 0 ? 0 : static_cast<int32_t>(chat.size()) - 50 - 1);
    chat.insert(chat.end(), a.tokens.begin(), a.tokens.end());
    const Tokens question = random_tokens(rng, 50);
    chat.insert(chat.end(), question.begin(), question.end());
  }
  // Another question after the first turn's beginning: those pages are gone, and that is seen.
  Tokens other(chat.begin(), chat.begin() + 320);
  const Tokens rest = random_tokens(rng, 40);
  other.insert(other.end(), rest.begin(), rest.end());
  EXPECT_EQ(f.ask(other, 100).tokens, expected(other, 100));
  EXPECT_FALSE(f.observed->broken);
}

TEST(EngineWindow, ManyAtOnceGiveTheSameTokensAsAlone) {
  std::mt19937 rng(4);
  EngineOptions options;
  options.max_sequences = 9;
  auto f = make_engine(16, options);
  const Tokens common = random_tokens(rng, 500);
  std::vector<Tokens> prompts;
  std::vector<std::unique_ptr<TokenStream>> streams;
  for (int i = 0; i < 40; ++i) {
    Tokens prompt(common.begin(), common.begin() + (i % 3) * 200);
    const Tokens own = random_tokens(rng, 1 + rng() % 300);
    prompt.insert(prompt.end(), own.begin(), own.end());
    prompts.push_back(prompt);
    streams.push_back(f.engine->submit(greedy(prompt, 150)).value());
  }
  for (size_t i = 0; i < streams.size(); ++i)
    EXPECT_EQ(read_all(*f.engine, *streams[i]).tokens, expected(prompts[i], 150)) << i;
  EXPECT_FALSE(f.observed->broken);
  EXPECT_GT(f.engine->stats().cached_tokens, 0u);
}

TEST(EngineWindow, APinnedDocumentLeavesRoomForTheRest) {
  std::mt19937 rng(5);
  const Tokens document = random_tokens(rng, 320);
  EngineOptions options;
  options.pins.push_back({"handbook", document});
  auto f = make_engine(22, options);
  for (int i = 0; i < 3; ++i) {
    Tokens prompt = document;
    const Tokens question = random_tokens(rng, 600);
    prompt.insert(prompt.end(), question.begin(), question.end());
    GenerateRequest r = greedy(prompt, 200);
    r.tenant = i == 0 ? "a" : "b";
    const Answer a = read_all(*f.engine, *f.engine->submit(r).value());
    EXPECT_EQ(a.tokens, expected(prompt, 200));
    EXPECT_GE(a.cached, i == 0 ? 0 : 320);
    // Takes every page that is not pinned.
    const Tokens other = random_tokens(rng, 1000);
    EXPECT_EQ(f.ask(other, 50).tokens, expected(other, 50));
  }
  EXPECT_FALSE(f.observed->broken);
}

// The kernels on a tiny llama, with a window put into its file.
class RealWindow : public ::testing::TestWithParam<KvType> {};

TEST_P(RealWindow, GivesTheSameTextInAnyMemory) {
  const std::string folder = ::testing::TempDir();
  const auto plain =
      ModelFile::open(std::string(XH_SOURCE_DIR) + "/tests/fixtures/models/llama.gguf").value();
  GgufWriter writer;
  writer.set_all(plain.metadata());
  writer.set("llama.attention.sliding_window", MetaValue(int64_t{40}));
  writer.set("llama.context_length", MetaValue(int64_t{2048}));
  for (const auto& t : plain.tensors())
    writer.add_tensor(t.name, t.view.type, t.view.shape, {t.view.data, t.view.bytes});
  const std::string path = folder + "/xh_window_" + std::string(kv_type_name(GetParam())) + ".gguf";
  ASSERT_TRUE(writer.write(path));

  const auto answers = [&](bool cache, uint64_t pages) {
    LoadedModel loaded;
    loaded.compute = make_cpu_compute({.threads = 1}).value();
    DecoderOptions decoder;
    decoder.max_batch_rows = 48;
    loaded.model = Decoder::load(ModelFile::open(path).value(), *loaded.compute, decoder).value();
    loaded.tokenizer = fake::make_tokenizer();
    EXPECT_EQ(loaded.model->info().window, 40);
    EngineOptions options;
    options.prefix_cache = cache;
    options.kv_type = GetParam();
    options.kv_budget_bytes =
        pages * loaded.model->make_kv_store(GetParam(), 1).value()->page_bytes();
    const auto engine = Engine::create(std::move(loaded), options).value();
    std::mt19937 rng(6);
    std::vector<std::unique_ptr<TokenStream>> streams;
    for (int i = 0; i < 4; ++i)
      streams.push_back(engine->submit(greedy(random_tokens(rng, 30 + rng() % 300), 200)).value());
    std::vector<Tokens> out;
    for (auto& stream : streams) out.push_back(read_all(*engine, *stream).tokens);
    return out;
  };
  const auto roomy = answers(false, 200);
  EXPECT_EQ(answers(false, 9), roomy);
  EXPECT_EQ(answers(true, 9), roomy);
  EXPECT_EQ(answers(true, 200), roomy);
  std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(KvTypes, RealWindow,
                         ::testing::Values(KvType::kF32, KvType::kF16, KvType::kQ8, KvType::kQ4),
                         [](const auto& info) { return std::string(kv_type_name(info.param)); });

}  // namespace
}  // namespace xh
