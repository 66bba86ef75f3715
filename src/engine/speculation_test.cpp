#include "engine/speculation.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/engine.h"
#include "engine/fake_model.h"

namespace xh {
namespace {

TEST(NgramIndex, FindsTheLongestThenTheLatest) {
  NgramIndex index;
  std::vector<TokenId> tokens = {1, 2, 3, 4, 9, 9, 2, 3, 4, 5, 7, 1, 2, 3, 4};
  auto match = index.find(tokens);
  EXPECT_EQ(match.length, 4);
  EXPECT_EQ(match.next, 4);  // 1 2 3 4 → 9, although 2 3 4 → 5 is later
  tokens.push_back(5);       // 2 3 4 5
  match = index.find(tokens);
  EXPECT_EQ(match.next, 10);
  EXPECT_EQ(match.length, 4);
  tokens.push_back(6);
  EXPECT_EQ(index.find(tokens).length, 0);
  NgramIndex fresh;
  EXPECT_EQ(fresh.find(std::vector<TokenId>{1, 1}).length, 0);
}

TEST(NgramIndex, EqualsAPlainSearch) {
  std::mt19937 rng(1);
  for (int round = 0; round < 50; ++round) {
    NgramIndex index;
    std::vector<TokenId> tokens;
    for (int i = 0; i < 300; ++i) {
      tokens.push_back(static_cast<TokenId>(rng() % 3));
      const auto match = index.find(tokens);
      if (match.length == 0) continue;
      const auto n = static_cast<int32_t>(tokens.size());
      ASSERT_GE(match.length, NgramIndex::kGram);
      ASSERT_LT(match.next, n);
      for (int32_t k = 1; k <= match.length; ++k)
        ASSERT_EQ(tokens[size_t(match.next - k)], tokens[size_t(n - k)]);
    }
  }
}

TEST(GuessCost, LearnsWhatARowCosts) {
  GuessCost cost;
  for (int i = 0; i < 100; ++i) {
    cost.observe(1, 0, 20);
    cost.observe(1, 7, 34);  // 0.1 tokens of time each
    cost.observe(32, 0, 100);
    cost.observe(32, 8, 120);  // (1.2 - 1) · 32 / 8
  }
  EXPECT_NEAR(cost.row_cost(1), 0.1, 0.01);
  EXPECT_NEAR(cost.row_cost(32), 0.8, 0.01);
}

TEST(Speculator, StopsWhenGuessesDoNotHold) {
  Speculator speculator;
  std::mt19937 rng(2);
  std::vector<TokenId> tokens;
  int guessed = 0;
  for (int i = 0; i < 2000; ++i) {
    tokens.push_back(static_cast<TokenId>(rng() % 4));  // matches everywhere, all of them chance
    const auto guess = speculator.propose(tokens, 100, 0.4);
    guessed += int(guess.size());
    int held = 0;
    std::mt19937 next = rng;
    while (held < int(guess.size()) && guess[size_t(held)] == TokenId(next() % 4)) ++held;
    speculator.outcome(int(guess.size()), held);
  }
  EXPECT_LT(guessed, 150);
}

struct Run {
  std::vector<TokenId> tokens;
  uint64_t steps, guessed, right;
};

Run run(bool copying, bool speculation, const std::vector<TokenId>& prompt, SamplingParams sampling,
        int32_t max_tokens) {
  auto model = std::make_unique<fake::FakeModel>(4096, 50);
  model->copying = copying;
  auto observed = model->observed;
  EngineOptions options;
  options.kv_budget_bytes = 200 * kPageTokens * sizeof(int32_t);
  options.speculation = speculation;
  auto engine = Engine::create(fake::loaded(std::move(model)), options).value();
  GenerateRequest r;
  r.prompt = prompt;
  r.max_tokens = max_tokens;
  r.sampling = sampling;
  r.ignore_end = true;
  auto stream = engine->submit(r).value();
  Run out{};
  for (;;) {
    const auto e = stream->wait();
    out.tokens.insert(out.tokens.end(), e.tokens.begin(), e.tokens.end());
    if (e.finish) break;
  }
  EXPECT_FALSE(observed->broken);
  out.steps = observed->steps;
  stream.reset();
  engine->drain();
  while (!engine->drained()) {
  }
  out.guessed = engine->stats().guessed_tokens;
  out.right = engine->stats().guessed_right;
  return out;
}

std::vector<TokenId> random_prompt(uint32_t seed, size_t n) {
  std::mt19937 rng(seed);
  std::vector<TokenId> out(n);
  for (auto& t : out) t = static_cast<TokenId>(1 + rng() % 95);
  return out;
}

TEST(Speculation, CopyingTakesFewSteps) {
  auto prompt = random_prompt(3, 600);
  prompt.insert(prompt.end(), prompt.begin(), prompt.begin() + 5);  // begin the copy
  const auto with = run(true, true, prompt, {.temperature = 0}, 400);
  const auto without = run(true, false, prompt, {.temperature = 0}, 400);
  EXPECT_EQ(with.tokens, without.tokens);
  EXPECT_EQ(with.tokens, fake::expected_greedy(prompt, 400, true));
  EXPECT_LT(with.steps * 3, without.steps);
  EXPECT_EQ(without.guessed, 0u);
}

TEST(Speculation, CostsNothingWhereItCannotHelp) {
  const auto prompt = random_prompt(4, 600);
  const auto with = run(false, true, prompt, {.temperature = 0}, 400);
  EXPECT_EQ(with.tokens, run(false, false, prompt, {.temperature = 0}, 400).tokens);
  EXPECT_LT(with.guessed - with.right, 20u);
}

TEST(Speculation, SampledOutputIsTheSame) {
  auto prompt = random_prompt(5, 300);
  prompt.insert(prompt.end(), prompt.begin(), prompt.begin() + 5);
  for (float t : {0.5f, 1.0f, 2.0f}) {
    const SamplingParams sampling{
        .temperature = t, .top_p = 0.95f, .repetition_penalty = 1.02f, .seed = 7};
    const auto with = run(true, true, prompt, sampling, 200);
    EXPECT_EQ(with.tokens, run(true, false, prompt, sampling, 200).tokens) << t;
    if (t < 2) {
      EXPECT_GT(with.right, 10u) << t;  // hotter ones seldom copy
    }
  }
}

}  // namespace
}  // namespace xh
