// The whole stack on small models: file → tokenizer, weights, engine → text.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/engine.h"
#include "engine/tokenizer_metadata.h"

namespace xh {
namespace {

const std::string kModels = std::string(XH_SOURCE_DIR) + "/tests/fixtures/models/";

std::vector<TokenId> generate(Engine& engine, std::vector<TokenId> prompt, int32_t n,
                              std::string* text = nullptr) {
  GenerateRequest r;
  r.prompt = std::move(prompt);
  r.max_tokens = n;
  r.sampling.temperature = 0;
  r.ignore_end = true;
  auto stream = engine.submit(r).value();
  std::vector<TokenId> out;
  for (;;) {
    const StreamEvent e = stream->wait();
    out.insert(out.end(), e.tokens.begin(), e.tokens.end());
    if (text != nullptr) *text += e.text;
    if (e.finish) return out;
  }
}

// Greedy decoding straight on the model, one token at a time.
std::vector<TokenId> plain_greedy(Model& model, std::vector<TokenId> tokens, int32_t n) {
  auto kv = model.make_kv_store(KvType::kF32, 64).value();
  std::vector<PageId> pages(64);
  for (PageId i = 0; i < 64; ++i) pages[static_cast<size_t>(i)] = 63 - i;
  std::vector<TokenId> out;
  int32_t computed = 0;
  while (static_cast<int32_t>(out.size()) < n) {
    const auto rows = static_cast<int32_t>(tokens.size()) - computed;
    const std::vector<int32_t> wanted = {rows - 1};
    const SequenceRows sequence{0, rows, computed, pages};
    const MatView logits = model.forward(
        {std::span(tokens).subspan(static_cast<size_t>(computed)), {&sequence, 1}, wanted}, *kv);
    computed += rows;
    TokenId best = 0;
    for (TokenId t = 1; t < logits.cols; ++t)
      if (logits.row(0)[t] > logits.row(0)[best]) best = t;
    out.push_back(best);
    tokens.push_back(best);
  }
  return out;
}

class Families : public testing::TestWithParam<const char*> {};

TEST_P(Families, EngineEqualsTheBareModel) {
  const std::string path = kModels + GetParam() + ".gguf";
  LoadOptions load;
  load.backend = "reference";
  load.max_batch_rows = 64;
  LoadOptions wide = load;
  wide.max_batch_rows = 128;  // whole prompts at once
  auto bare = load_model(path, wide);
  ASSERT_TRUE(bare.has_value()) << bare.error().to_string();
  std::vector<std::vector<TokenId>> prompts, expected;
  for (int i = 0; i < 6; ++i) {
    prompts.emplace_back();
    for (int k = 0; k < 20 + 17 * i; ++k)
      prompts.back().push_back(static_cast<TokenId>((k * 31 + (k > 50 ? i : 0)) % 250));
    expected.push_back(plain_greedy(*bare->model, prompts.back(), 24));
  }
  for (bool cache : {true, false}) {
    EngineOptions options;
    options.kv_type = KvType::kF32;
    options.max_sequences = 4;
    options.kv_budget_bytes = 64u << 20;
    options.prefix_cache = cache;
    auto engine = Engine::create(load_model(path, load).value(), options);
    ASSERT_TRUE(engine.has_value()) << engine.error().to_string();
    for (int round = 0; round < 2; ++round)
      for (size_t i = 0; i < prompts.size(); ++i)
        EXPECT_EQ(generate(**engine, prompts[i], 24), expected[i]) << i;
    EXPECT_EQ((*engine)->stats().cached_tokens > 0, cache);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families,
                         testing::Values("llama", "llama_linear", "qwen2_yarn", "qwen3"));

TEST(LoadModel, ErrorsNameThePlace) {
  EXPECT_EQ(load_model("no such file", {}).error().code, ErrorCode::kNotFound);
  LoadOptions wrong;
  wrong.backend = "abacus";
  const auto refused = load_model(kModels + "qwen2_yarn.gguf", wrong);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().where, "backend");
  LoadOptions no_template;
  no_template.backend = "reference";
  no_template.chat_template_file = "no such file";
  EXPECT_FALSE(load_model(kModels + "qwen2_yarn.gguf", no_template).has_value());
}

Metadata small_vocabulary() {
  Metadata m;
  m.set("tokenizer.ggml.model", std::string("gpt2"));
  m.set("tokenizer.ggml.pre", std::string("qwen2"));
  m.set("tokenizer.ggml.tokens",
        std::vector<std::string>{"a", "b", "<|im_end|>", "<|eot_id|>", "</s>", "<|endoftext|>"});
  m.set("tokenizer.ggml.token_type", std::vector<int64_t>{1, 1, 3, 1, 3, 3});
  m.set("tokenizer.ggml.merges", std::vector<std::string>{});
  m.set("tokenizer.ggml.eos_token_id", uint64_t{5});
  m.set("tokenizer.ggml.eot_token_id", uint64_t{1});
  return m;
}

TEST(TokenizerMetadata, FindsEveryEndOfATurn) {
  const auto spec = tokenizer_spec(small_vocabulary()).value();
  EXPECT_EQ(spec.pre, "qwen2");
  EXPECT_EQ(spec.eos, 5);
  EXPECT_EQ(spec.bos, -1);
  EXPECT_FALSE(spec.add_bos);
  // eos, eot, then control tokens by text; 3 has the text but is a normal token.
  EXPECT_EQ(spec.end_tokens, (std::vector<TokenId>{5, 1, 2, 4}));
}

TEST(TokenizerMetadata, WrongValuesAreErrors) {
  Metadata none;
  EXPECT_EQ(tokenizer_spec(none).error().code, ErrorCode::kNotFound);
  auto wrong_type = small_vocabulary();
  wrong_type.set("tokenizer.ggml.eos_token_id", std::string("five"));
  EXPECT_EQ(tokenizer_spec(wrong_type).error().code, ErrorCode::kCorrupt);
  auto too_large = small_vocabulary();
  too_large.set("tokenizer.ggml.bos_token_id", uint64_t{1} << 40);
  EXPECT_EQ(tokenizer_spec(too_large).error().code, ErrorCode::kCorrupt);
  auto all_ones = small_vocabulary();
  all_ones.set("tokenizer.ggml.bos_token_id", uint64_t{0xFFFFFFFF});
  EXPECT_EQ(tokenizer_spec(all_ones).value().bos, -1);
}

// The real model, where it is at hand.
TEST(LoadModel, SmolLm2Answers) {
  const char* path = std::getenv("XIAOHU_TEST_MODEL");
  if (path == nullptr) GTEST_SKIP() << "XIAOHU_TEST_MODEL is not set: the real model did not run";
  LoadOptions load;
  if (const char* backend = std::getenv("XIAOHU_TEST_BACKEND")) load.backend = backend;
  auto loaded = load_model(path, load);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().to_string();
  EngineOptions options;
  if (load.backend == "reference") options.kv_type = KvType::kF32;
  auto created = Engine::create(std::move(*loaded), options);
  ASSERT_TRUE(created.has_value()) << created.error().to_string();
  auto& engine = *created;
  EXPECT_NE(engine->chat_template(), nullptr);
  EXPECT_EQ(engine->info().model_name, std::filesystem::path(path).stem());
  std::string text;
  generate(*engine, engine->tokenizer().encode("The capital of France is"), 1, &text);
  EXPECT_EQ(text, " Paris");
}

// T18 on the real model: each text is the same alone, in a batch, in other chunks, with and without
// the prefix cache and guesses.
TEST(LoadModel, SmolLm2SaysTheSameUnderAnyLoad) {
  const char* path = std::getenv("XIAOHU_TEST_MODEL");
  if (path == nullptr) GTEST_SKIP() << "XIAOHU_TEST_MODEL is not set: the real model did not run";
  const std::string opening =
      "The harbour town of Lindau lies on an island in the east of Lake Constance. ";
  std::vector<std::string> prompts;
  for (const char* end : {"Its lighthouse", "In winter", "1, 2, 3, 4, 5, 6,", "def fib(n):",
                          "The mayor said: \"", "小虎", "Once upon a time", "A B A B A B A"})
    prompts.push_back(prompts.size() % 2 == 0 ? opening + end : end);
  std::vector<std::vector<TokenId>> alone(prompts.size());
  struct Setting {
    int32_t rows;
    bool cache, guesses, together;
  };
  for (const Setting& s : {Setting{512, false, false, false},
                           {512, true, true, true},
                           {7, true, true, true},
                           {33, false, true, true},
                           {512, true, true, false}}) {
    EngineOptions options;
    options.kv_budget_bytes = 256u << 20;
    options.max_batch_rows = s.rows;
    options.prefix_cache = s.cache;
    options.speculation = s.guesses;
    auto engine = Engine::create(load_model(path, {}).value(), options).value();
    std::vector<std::unique_ptr<TokenStream>> streams;
    for (size_t i = 0; i < prompts.size(); ++i) {
      GenerateRequest r;
      r.prompt = engine->tokenizer().encode(prompts[i]);
      r.max_tokens = 32;
      r.sampling.temperature = 0;
      r.ignore_end = true;
      streams.push_back(engine->submit(r).value());
      if (!s.together || i + 1 == prompts.size())
        for (size_t k = s.together ? 0 : i; k <= i; ++k) {
          std::vector<TokenId> tokens;
          for (;;) {
            const StreamEvent e = streams[k]->wait();
            tokens.insert(tokens.end(), e.tokens.begin(), e.tokens.end());
            if (e.finish) break;
          }
          if (alone[k].empty()) alone[k] = tokens;
          EXPECT_EQ(tokens, alone[k]) << prompts[k] << ", rows " << s.rows;
        }
    }
  }
}

}  // namespace
}  // namespace xh
