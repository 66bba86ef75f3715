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

TEST(NgramIndex, FindsAgreementNearAPlace) {
  const std::vector<TokenId> tokens = {5, 1, 2, 3, 9, 2, 7, 1, 2};
  auto match = NgramIndex::find_near(tokens, 1, 8, 3);
  EXPECT_EQ(match.next, 3);  // 1 2 → 3
  EXPECT_EQ(match.length, 2);
  match = NgramIndex::find_near(tokens, 5, 7, 5);
  EXPECT_EQ(match.next, 6);  // 2 → 7
  EXPECT_EQ(match.length, 1);
  EXPECT_EQ(NgramIndex::find_near(tokens, 4, 5, 4).length, 0);
  EXPECT_EQ(NgramIndex::find_near(tokens, -3, 100, 0).next, 3);
}

// Steps that it takes to write `answer` after `prompt`, and rows spent on guesses.
std::pair<int, int> steps_and_guesses(const std::vector<TokenId>& prompt,
                                      const std::vector<TokenId>& answer, double row_cost) {
  Speculator speculator;
  auto tokens = prompt;
  int steps = 0, guesses = 0;
  for (size_t done = 0; done < answer.size(); ++steps) {
    const auto guess = speculator.propose(tokens, int(answer.size() - done) - 1, row_cost);
    size_t held = 0;
    while (held < guess.size() && guess[held] == answer[done + held]) ++held;
    speculator.outcome(int(guess.size()), int(held));
    guesses += int(guess.size());
    tokens.insert(tokens.end(), answer.begin() + long(done),
                  answer.begin() + long(done + held + 1));
    done += held + 1;
  }
  return {steps, guesses};
}

TEST(Speculator, GoesOnAfterEachChangeOfACopy) {
  std::mt19937 rng(6);
  std::vector<TokenId> source(400);
  for (auto& t : source) t = static_cast<TokenId>(rng() % 300);
  // Every twelfth token becomes another one, two others, or none.
  for (size_t becomes : {1u, 2u, 0u}) {
    std::vector<TokenId> answer;
    for (size_t i = 0; i < source.size(); ++i) {
      if (i % 12 != 11)
        answer.push_back(source[i]);
      else
        answer.insert(answer.end(), becomes, 999);
    }
    const auto [steps, guesses] = steps_and_guesses(source, answer, 0.1);
    EXPECT_LE(steps, 33 * 4) << becomes;
    EXPECT_LE(guesses, int(answer.size()) * 2) << becomes;
  }
}

TEST(Speculator, MakesTheSameChangeAgain) {
  std::mt19937 rng(8);
  for (size_t becomes : {1u, 3u}) {  // "the Provider" becomes "the Supplier"
    std::vector<TokenId> source, answer;
    for (int i = 0; i < 400; ++i) {
      const bool name = i % 14 == 8;
      source.push_back(name ? 500 : static_cast<TokenId>(rng() % 300));
      if (name)
        for (size_t k = 0; k < becomes; ++k) answer.push_back(600 + TokenId(k));
      else
        answer.push_back(source.back());
    }
    const auto [steps, guesses] = steps_and_guesses(source, answer, 0.1);
    EXPECT_LE(steps, 60) << becomes;  // 28 changes, 15 guesses a step
    EXPECT_LE(guesses, int(answer.size()) + 60) << becomes;
  }
}

TEST(CopyTrack, ForgetsAChangeThatWasNotMadeAgain) {
  CopyTrack track;
  std::vector<TokenId> tokens = {1, 2, 3, 9, 4, 5, 6, 7, 9, 8, 10, 9, 11, 12, 0, 1, 2, 3};
  track.follow(tokens);
  track.set_place(tokens, 3, 8);
  tokens.insert(tokens.end(), {20, 4});  // 9 became 20
  track.follow(tokens);
  auto place = track.find(tokens);
  EXPECT_EQ(place.next, 5);
  EXPECT_EQ(place.length, 1);
  track.set_place(tokens, place.next, place.length);
  const std::vector<TokenId> expected = {5, 6, 7, 20, 8, 10, 20, 11};
  EXPECT_EQ(track.guess(tokens, 5, 8), expected);
  tokens.insert(tokens.end(), {5, 6, 7, 9});  // this time it stays
  track.follow(tokens);
  place = track.find(tokens);
  EXPECT_EQ(place.next, 9);
  EXPECT_EQ(track.guess(tokens, 9, 3), (std::vector<TokenId>{8, 10, 9}));
  EXPECT_TRUE(track.guess(tokens, 9, 0).empty());
}

TEST(Speculator, GuessesLessWhereAGuessIsDear) {
  std::vector<TokenId> source(400);
  std::mt19937 rng(7);
  for (auto& t : source) t = static_cast<TokenId>(rng() % 300);
  auto answer = source;
  for (size_t i = 5; i < answer.size(); i += 6) answer[i] = 999;
  int least = 1 << 30, most = 0;
  for (double row_cost : {0.05, 0.2, 0.5, 0.9}) {
    const auto [steps, guesses] = steps_and_guesses(source, answer, row_cost);
    EXPECT_LT(steps + guesses * row_cost, 1.02 * double(answer.size())) << row_cost;
    least = std::min(least, guesses), most = std::max(most, guesses);
  }
  EXPECT_LT(least * 5, most);
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
