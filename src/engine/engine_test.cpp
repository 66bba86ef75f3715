#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "engine/fake_model.h"

namespace xh {
namespace {

using fake::expected_greedy;
using fake::FakeModel;

std::vector<TokenId> random_prompt(std::mt19937& rng, size_t n) {
  std::vector<TokenId> out(n);
  for (auto& t : out) t = static_cast<TokenId>(1 + rng() % 99);
  return out;
}

struct Answer {
  std::string text;
  std::vector<TokenId> tokens;
  StreamEvent last;
  std::vector<TokenLogprob> logprobs;
  std::vector<std::optional<TokenLogprob>> prompt_logprobs;
};

Answer read_all(TokenStream& stream) {
  Answer out;
  for (;;) {
    StreamEvent e = stream.wait();
    out.text += e.text;
    out.tokens.insert(out.tokens.end(), e.tokens.begin(), e.tokens.end());
    out.logprobs.insert(out.logprobs.end(), e.logprobs.begin(), e.logprobs.end());
    for (auto& p : e.prompt_logprobs) out.prompt_logprobs.push_back(std::move(p));
    if (e.finish) {
      out.last = std::move(e);
      return out;
    }
  }
}

GenerateRequest greedy(std::vector<TokenId> prompt, int32_t max_tokens) {
  GenerateRequest r;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  r.sampling.temperature = 0;
  return r;
}

struct Fixture {
  std::shared_ptr<fake::Observed> observed;
  FakeModel* model = nullptr;  // owned by the engine
  std::unique_ptr<Engine> engine;
};

Fixture make_engine(EngineOptions options = {}, int32_t pages = 256, int32_t context = 4096,
                    int32_t step_us = 0) {
  Fixture f;
  auto model = std::make_unique<FakeModel>(context, step_us);
  f.observed = model->observed;
  f.model = model.get();
  options.kv_budget_bytes = static_cast<uint64_t>(pages) * kPageTokens * sizeof(int32_t);
  f.engine = Engine::create(fake::loaded(std::move(model)), options).value();
  return f;
}

// All kinds of requests at once; what they say may not depend on who looks at the logits.
std::vector<Answer> answers_with_threads(int32_t threads, bool speculation) {
  auto model = std::make_unique<FakeModel>(4096, 0);
  model->copying = true;
  if (threads > 1) model->use_threads(threads);
  EngineOptions options;
  options.speculation = speculation;
  options.kv_budget_bytes = 1024 * kPageTokens * sizeof(int32_t);
  auto engine = Engine::create(fake::loaded(std::move(model)), options).value();
  std::mt19937 rng(3);
  std::vector<std::unique_ptr<TokenStream>> streams;
  for (int i = 0; i < 60; ++i) {
    GenerateRequest r = greedy(random_prompt(rng, 30 + rng() % 60), 40);
    r.prompt.insert(r.prompt.end(), r.prompt.begin(), r.prompt.begin() + 5);  // begins a copy
    r.sampling.temperature = float(i % 3);
    r.sampling.top_p = i % 2 == 0 ? 1.0f : 0.9f;
    r.sampling.seed = i;
    if (i % 4 == 1) r.sampling.repetition_penalty = 1.1f;
    if (i % 5 == 0) r.logprobs = 3;
    if (i % 7 == 0) r.prompt_logprobs = 2;
    if (i % 6 == 0) r.stop = {"A", "bb"};
    if (i % 11 == 0) r.prompt[20] = fake::kPoison;
    streams.push_back(engine->submit(std::move(r)).value());
  }
  std::vector<Answer> out;
  for (auto& stream : streams) out.push_back(read_all(*stream));
  return out;
}

TEST(Engine, AnswersAreTheSameWhoeverLooksAtTheLogits) {
  const auto same = [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.id == b.id && a.logprob == b.logprob && a.top == b.top;
  };
  const auto expected = answers_with_threads(1, false);
  for (bool speculation : {false, true})
    for (int32_t threads : {1, 3}) {
      const auto got = answers_with_threads(threads, speculation);
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].text, expected[i].text) << i;
        EXPECT_EQ(got[i].tokens, expected[i].tokens) << i;
        EXPECT_EQ(got[i].last.finish, expected[i].last.finish) << i;
        EXPECT_EQ(got[i].last.usage.completion_tokens, expected[i].last.usage.completion_tokens);
        EXPECT_TRUE(std::ranges::equal(got[i].logprobs, expected[i].logprobs, same)) << i;
        EXPECT_TRUE(std::ranges::equal(
            got[i].prompt_logprobs, expected[i].prompt_logprobs,
            [&](const auto& a, const auto& b) { return a ? b && same(*a, *b) : !b; }))
            << i;
      }
    }
}

TEST(Engine, GreedyEqualsTheModelsOwnContinuation) {
  auto f = make_engine();
  std::mt19937 rng(1);
  for (int i = 0; i < 50; ++i) {
    const auto prompt = random_prompt(rng, 1 + rng() % 1500);
    auto stream = f.engine->submit(greedy(prompt, 1 + int32_t(rng() % 200))).value();
    const Answer a = read_all(*stream);
    EXPECT_EQ(a.last.finish, a.last.usage.completion_tokens > int32_t(a.tokens.size())
                                 ? FinishReason::kStop
                                 : FinishReason::kLength);
    const auto expected = expected_greedy(prompt, a.last.usage.completion_tokens);
    EXPECT_EQ(a.tokens, expected);
    EXPECT_EQ(a.text, fake::text_of(expected));
    EXPECT_EQ(a.last.usage.prompt_tokens, int32_t(prompt.size()));
  }
  EXPECT_FALSE(f.observed->broken);
}

TEST(Engine, ManyAtOnceGiveTheSameTokensAsAlone) {
  EngineOptions options;
  options.max_batch_rows = 100;
  options.max_sequences = 13;
  auto f = make_engine(options, 40, 1200);
  std::mt19937 rng(2);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::unique_ptr<TokenStream>> streams;
  const auto common = random_prompt(rng, 300);
  for (int i = 0; i < 60; ++i) {
    auto prompt = random_prompt(rng, 1 + rng() % 400);
    if (i % 3 == 0) prompt.insert(prompt.begin(), common.begin(), common.end());
    prompts.push_back(prompt);
    streams.push_back(f.engine->submit(greedy(prompt, 150)).value());
  }
  for (size_t i = 0; i < streams.size(); ++i)
    EXPECT_EQ(read_all(*streams[i]).tokens, expected_greedy(prompts[i], 150)) << i;
  EXPECT_FALSE(f.observed->broken);
  EXPECT_LE(f.observed->widest, 100);
  EXPECT_GT(f.engine->stats().preemptions, 0u);
  EXPECT_GT(f.engine->stats().cached_tokens, 0u);
}

TEST(Engine, SeededSamplingDoesNotDependOnTheLoad) {
  std::mt19937 rng(3);
  const auto prompt = random_prompt(rng, 77);
  GenerateRequest r = greedy(prompt, 100);
  r.sampling = {.temperature = 1.2f,
                .top_k = 30,
                .top_p = 0.95f,
                .repetition_penalty = 1.1f,
                .frequency_penalty = 0.3f,
                .seed = 5};
  auto alone = make_engine();
  const auto first = read_all(*alone.engine->submit(r).value());
  EngineOptions options;
  options.max_batch_rows = 37;
  auto busy = make_engine(options, 30, 800);
  std::vector<std::unique_ptr<TokenStream>> others;
  for (int i = 0; i < 20; ++i)
    others.push_back(busy.engine->submit(greedy(random_prompt(rng, 200), 200)).value());
  EXPECT_EQ(read_all(*busy.engine->submit(r).value()).tokens, first.tokens);
  EXPECT_NE(first.tokens, expected_greedy(prompt, 100));
}

TEST(Engine, StopStringsNeverLeak) {
  auto f = make_engine();
  std::mt19937 rng(4);
  int stopped = 0;
  for (int i = 0; i < 200; ++i) {
    const auto prompt = random_prompt(rng, 5 + rng() % 20);
    const auto full = fake::text_of(expected_greedy(prompt, 60));
    if (full.size() < 12) continue;
    const size_t at = rng() % (full.size() - 8), n = 1 + rng() % 8;
    if ((static_cast<unsigned char>(full[at]) & 0xC0) == 0x80) continue;
    GenerateRequest r = greedy(prompt, 60);
    r.stop = {"never seen", full.substr(at, n)};
    auto stream = f.engine->submit(r).value();
    const Answer a = read_all(*stream);
    EXPECT_EQ(a.last.finish, FinishReason::kStop);
    EXPECT_EQ(a.last.matched_stop, r.stop[1]);
    EXPECT_EQ(a.text, full.substr(0, full.find(r.stop[1])));
    // Tokens are those whose text begins before the cut.
    EXPECT_LE(fake::text_of(a.tokens).substr(0, a.text.size()), a.text);
    ++stopped;
  }
  EXPECT_GT(stopped, 50);
}

TEST(Engine, LogprobsOfOutputAndPrompt) {
  auto f = make_engine();
  std::mt19937 rng(5);
  const auto prompt = random_prompt(rng, 300);
  auto warm =
      f.engine->submit(greedy(prompt, 5)).value();  // fills the cache: scoring must not use it
  read_all(*warm);
  GenerateRequest r = greedy(prompt, 20);
  r.logprobs = 3;
  r.prompt_logprobs = 2;
  auto stream = f.engine->submit(r).value();
  const Answer a = read_all(*stream);
  ASSERT_EQ(a.prompt_logprobs.size(), prompt.size());
  EXPECT_FALSE(a.prompt_logprobs[0].has_value());
  uint64_t state = 0;
  std::vector<float> logits(fake::kVocab);
  auto check = [&](const TokenLogprob& got, TokenId id, size_t top) {
    fake::logits_of(state, logits.data());
    double z = 0;
    for (float x : logits) z += std::exp(double(x));
    EXPECT_EQ(got.id, id);
    EXPECT_NEAR(got.logprob, logits[size_t(id)] - std::log(z), 1e-4);
    ASSERT_EQ(got.top.size(), top);
    EXPECT_GE(got.top[0].second, got.top[1].second);
  };
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (i > 0) check(*a.prompt_logprobs[i], prompt[i], 2);
    state = fake::fold(state, prompt[i]);
  }
  ASSERT_EQ(a.logprobs.size(), a.tokens.size());
  for (size_t i = 0; i < a.tokens.size(); ++i) {
    check(a.logprobs[i], a.tokens[i], 3);
    EXPECT_EQ(a.logprobs[i].top[0].first, a.tokens[i]);
    state = fake::fold(state, a.tokens[i]);
  }
}

TEST(Engine, BadRequestsAreRefusedBeforeAnyWork) {
  EngineOptions options;
  options.max_waiting = 4;
  auto f = make_engine(options, 256, 100);
  auto refused = [&](GenerateRequest r, const char* field) {
    auto result = f.engine->submit(std::move(r));
    ASSERT_FALSE(result.has_value()) << field;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument) << field;
    EXPECT_EQ(result.error().where, field);
  };
  const std::vector<TokenId> p(50, 7);
  refused(greedy({}, 5), "prompt");
  refused(greedy(std::vector<TokenId>(100, 1), 1), "prompt");
  refused(greedy(std::vector<TokenId>(5000, 1), 1), "prompt");
  refused(greedy({-1}, 5), "prompt");
  refused(greedy({fake::kVocab}, 5), "prompt");
  refused(greedy(p, -1), "max_tokens");
  refused(greedy(p, 51), "max_tokens");
  refused(greedy(p, INT32_MAX), "max_tokens");
  auto with = [&](auto change) {
    GenerateRequest r = greedy(p, 5);
    change(r);
    return r;
  };
  refused(with([](auto& r) { r.stop.assign(500000, "x"); }), "stop");
  refused(with([](auto& r) { r.stop = {""}; }), "stop");
  refused(with([](auto& r) { r.stop = {std::string(2000, 'x')}; }), "stop");
  refused(with([](auto& r) { r.stop = {"\x9F"}; }), "stop");
  refused(with([](auto& r) { r.logprobs = 21; }), "logprobs");
  refused(with([](auto& r) { r.prompt_logprobs = -2; }), "prompt_logprobs");
  refused(with([](auto& r) { r.priority = 101; }), "priority");
  refused(with([](auto& r) { r.sampling.temperature = -1; }), "temperature");
  EXPECT_EQ(f.observed->steps, 0u);
  EXPECT_GT(f.engine->stats().rejected, 10u);
  // max_tokens 0 fills the context.
  GenerateRequest all = greedy(p, 0);
  all.ignore_end = true;
  auto stream = f.engine->submit(all).value();
  const auto a = read_all(*stream);
  EXPECT_EQ(a.last.usage.completion_tokens, 50);
  EXPECT_EQ(a.last.finish, FinishReason::kLength);
}

TEST(Engine, AFullQueueIsRefusedAtOnce) {
  EngineOptions options;
  options.max_sequences = 1;
  options.max_waiting = 3;
  auto f = make_engine(options, 256, 4096, 2000);
  std::vector<std::unique_ptr<TokenStream>> streams;
  int refused = 0;
  for (int i = 0; i < 50; ++i) {
    GenerateRequest r = greedy({5, 6, 7}, 200);
    r.ignore_end = true;
    auto s = f.engine->submit(r);
    if (s) {
      streams.push_back(std::move(*s));
    } else {
      EXPECT_EQ(s.error().code, ErrorCode::kUnavailable);
      ++refused;
    }
  }
  EXPECT_GT(refused, 20);
}

TEST(Engine, TheQueueIsBoundedInTokensToo) {
  EngineOptions options;
  options.max_sequences = 1;
  options.max_waiting_tokens = 5000;
  auto f = make_engine(options, 256, 4096, 2000);
  std::vector<std::unique_ptr<TokenStream>> streams;
  for (int i = 0; i < 20; ++i)
    if (auto s = f.engine->submit(greedy(std::vector<TokenId>(1000, 7), 100)))
      streams.push_back(std::move(*s));
  EXPECT_GE(streams.size(), 5u);
  EXPECT_LE(streams.size(), 7u);
  const auto accepted = streams.size();
  streams.clear();  // what leaves makes room again
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (f.engine->stats().cancelled < accepted && std::chrono::steady_clock::now() < limit)
    std::this_thread::yield();
  for (int i = 0; i < 5; ++i) {
    auto s = f.engine->submit(greedy(std::vector<TokenId>(1000, 7), 100));
    ASSERT_TRUE(s.has_value()) << i;
    streams.push_back(std::move(*s));
  }
}

TEST(Engine, DroppedStreamFreesItsPages) {
  auto f = make_engine({.prefix_cache = false}, 256, 4096, 100);
  std::mt19937 rng(6);
  GenerateRequest endless = greedy(random_prompt(rng, 600), 0);
  endless.ignore_end = true;
  auto stream = f.engine->submit(endless).value();
  stream->wait();
  EXPECT_GT(f.engine->stats().pages_used, 10);
  stream.reset();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::milliseconds(250);
  while (f.engine->stats().pages_used > 0 && std::chrono::steady_clock::now() < limit)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(f.engine->stats().pages_used, 0);
  EXPECT_EQ(f.engine->stats().cancelled, 1u);
}

TEST(Engine, NanFailsOnlyThatRequest) {
  auto f = make_engine();
  std::mt19937 rng(7);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::unique_ptr<TokenStream>> streams;
  const auto common = random_prompt(rng, 200);
  for (int i = 0; i < 20; ++i) {
    auto p = common;
    const auto more = random_prompt(rng, 100);
    p.insert(p.end(), more.begin(), more.end());
    if (i % 4 == 1) p[150 + size_t(i)] = fake::kPoison;
    prompts.push_back(p);
    streams.push_back(f.engine->submit(greedy(p, 40)).value());
  }
  for (size_t i = 0; i < streams.size(); ++i) {
    const Answer a = read_all(*streams[i]);
    if (i % 4 == 1) {
      EXPECT_EQ(a.last.finish, FinishReason::kError);
      EXPECT_EQ(a.last.error->code, ErrorCode::kInternal);
      EXPECT_TRUE(a.tokens.empty());
    } else {
      EXPECT_EQ(a.tokens, expected_greedy(prompts[i], 40)) << i;
    }
  }
  EXPECT_EQ(f.engine->stats().failed, 5u);
}

TEST(Engine, DamagedCachedPageHealsItself) {
  auto f = make_engine();
  std::mt19937 rng(8);
  const auto prompt = random_prompt(rng, 500);
  read_all(*f.engine->submit(greedy(prompt, 3)).value());
  while (f.engine->stats().running > 0) std::this_thread::yield();
  // The engine is idle: nobody else touches the store now.
  for (PageId page = 0; page < 10; ++page) f.model->store_->slot(page, 5) = fake::kDamaged;
  for (int round = 0; round < 3; ++round) {
    auto p = prompt;
    p.push_back(static_cast<TokenId>(1 + round));
    auto a = read_all(*f.engine->submit(greedy(p, 30)).value());
    EXPECT_EQ(a.tokens, expected_greedy(p, 30)) << round;
  }
  EXPECT_EQ(f.engine->stats().failed, 0u);
}

TEST(Engine, DestructionEndsEveryStream) {
  std::vector<std::unique_ptr<TokenStream>> streams;
  {
    EngineOptions options;
    options.max_sequences = 2;
    auto f = make_engine(options, 256, 4096, 1000);
    for (int i = 0; i < 8; ++i) {
      GenerateRequest r = greedy({3, 4}, 0);
      r.ignore_end = true;
      streams.push_back(f.engine->submit(r).value());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (auto& s : streams) {
    const auto a = read_all(*s);
    EXPECT_EQ(a.last.finish, FinishReason::kError);
    EXPECT_EQ(a.last.error->code, ErrorCode::kUnavailable);
  }
}

TEST(Engine, DrainRefusesNewWorkAndEndsOld) {
  auto f = make_engine({}, 256, 4096, 500);
  auto stream = f.engine->submit(greedy({3, 4, 5}, 30)).value();
  f.engine->drain();
  auto refused = f.engine->submit(greedy({3, 4, 5}, 30));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(read_all(*stream).tokens, expected_greedy({3, 4, 5}, 30));
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!f.engine->drained() && std::chrono::steady_clock::now() < limit)
    std::this_thread::yield();
  EXPECT_TRUE(f.engine->drained());
}

TEST(Engine, DeadlinesAreKept) {
  auto f = make_engine({}, 256, 4096, 2000);
  GenerateRequest r = greedy({3, 4, 5}, 0);
  r.ignore_end = true;
  r.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  const auto a = read_all(*f.engine->submit(r).value());
  EXPECT_EQ(a.last.finish, FinishReason::kError);
  EXPECT_EQ(a.last.error->code, ErrorCode::kDeadline);
}

TEST(Engine, SecondTurnComputesOnlyWhatIsNew) {
  auto f = make_engine();
  std::mt19937 rng(9);
  std::vector<TokenId> chat = random_prompt(rng, 333);
  for (int turn = 0; turn < 5; ++turn) {
    const auto before = f.observed->rows;
    const Answer a = read_all(*f.engine->submit(greedy(chat, 50)).value());
    const auto rows = f.observed->rows - before;
    const auto prefilled = chat.size() - size_t(a.last.usage.cached_tokens);
    // Everything but the new words, and the answer's last token, was in the cache.
    if (turn > 0) {
      EXPECT_LE(prefilled, 41u) << turn;
    }
    EXPECT_LE(rows, prefilled + size_t(a.last.usage.completion_tokens));
    chat.insert(chat.end(), a.tokens.begin(), a.tokens.end());
    const auto words = random_prompt(rng, 40);
    chat.insert(chat.end(), words.begin(), words.end());
    for (int other = 0; other < 3; ++other)  // others come between
      read_all(*f.engine->submit(greedy(random_prompt(rng, 100), 10)).value());
  }
}

TEST(Engine, TheSamePromptIsComputedOnce) {
  auto f = make_engine({.max_batch_rows = 64}, 512, 4096, 200);
  std::mt19937 rng(10);
  const auto common = random_prompt(rng, 2000);
  std::vector<std::unique_ptr<TokenStream>> streams;
  for (int i = 0; i < 30; ++i) {
    auto p = common;
    p.push_back(static_cast<TokenId>(1 + i));
    streams.push_back(f.engine->submit(greedy(p, 4)).value());
  }
  for (auto& s : streams) read_all(*s);
  // One prefill, and for each at most a page's rest and its own tokens.
  EXPECT_LE(f.observed->rows, 2000u + 30u * (kPageTokens + 5));
}

TEST(Engine, TenantsDoNotShare) {
  auto f = make_engine();
  std::mt19937 rng(11);
  const auto prompt = random_prompt(rng, 500);
  GenerateRequest r = greedy(prompt, 3);
  r.tenant = "a";
  read_all(*f.engine->submit(r).value());
  EXPECT_GT(read_all(*f.engine->submit(r).value()).last.usage.cached_tokens, 400);
  r.tenant = "b";
  EXPECT_EQ(read_all(*f.engine->submit(r).value()).last.usage.cached_tokens, 0);
}

TEST(Engine, OnReadyFiresForEveryChange) {
  auto f = make_engine({}, 256, 4096, 100);
  auto stream = f.engine->submit(greedy({3, 4, 5}, 40)).value();
  std::atomic<int> fired = 0;
  stream->on_ready([&] { ++fired; });
  std::vector<TokenId> tokens;
  for (;;) {
    const int before = fired;
    if (auto e = stream->poll()) {
      tokens.insert(tokens.end(), e->tokens.begin(), e->tokens.end());
      if (e->finish) break;
    } else {
      while (fired == before) std::this_thread::yield();
    }
  }
  EXPECT_EQ(tokens, expected_greedy({3, 4, 5}, 40));
}

// Threads that come, read some, and leave at random; run under ThreadSanitizer as well.
TEST(Engine, RandomDisconnectsLeaveNothingBehind) {
  EngineOptions options;
  options.max_sequences = 8;
  options.max_batch_rows = 64;
  auto f = make_engine(options, 60, 1000);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> clients;
  for (uint32_t c = 0; c < 6; ++c)
    clients.emplace_back([&, c] {
      std::mt19937 rng(c);
      for (int i = 0; i < 150; ++i) {
        const auto prompt = random_prompt(rng, 1 + rng() % 300);
        auto r = greedy(prompt, 60);
        r.tenant = std::to_string(rng() % 3);
        auto stream = f.engine->submit(r);
        if (!stream) continue;
        if (rng() % 2 == 0) {
          if (read_all(**stream).tokens != expected_greedy(prompt, 60)) ++wrong;
        } else {
          if (rng() % 2 == 0) (*stream)->on_ready([] {});
          for (auto n = rng() % 5; n > 0; --n)
            if (auto e = (*stream)->wait(); e.finish) break;
        }
      }
    });
  for (auto& t : clients) t.join();
  EXPECT_EQ(wrong, 0);
  f.engine->drain();
  while (!f.engine->drained()) std::this_thread::yield();
  EXPECT_FALSE(f.observed->broken);
  while (f.engine->stats().running > 0) std::this_thread::yield();
  const auto s = f.engine->stats();
  EXPECT_EQ(s.pages_used, s.pages_cached);  // what is left is cache
}

TEST(Engine, ARequestTooLongBesidePinsFailsAlone) {
  std::mt19937 rng(31);
  const auto document = random_prompt(rng, 19 * kPageTokens);
  EngineOptions options;
  options.pins.push_back({"handbook", document});
  auto f = make_engine(options, 40);
  read_all(*f.engine->submit(greedy(document, 1)).value());  // it is pinned now
  const auto n = static_cast<size_t>(40 * kPageTokens - 10);
  auto other = random_prompt(rng, n);
  const Answer refused = read_all(*f.engine->submit(greedy(other, 5)).value());
  ASSERT_EQ(refused.last.finish, FinishReason::kError);
  EXPECT_EQ(refused.last.error->code, ErrorCode::kTooLarge);
  // One that outgrows the memory while it answers, where its last page is just full.
  const std::vector<TokenId> grows(other.begin(), other.begin() + 21 * kPageTokens - 10);
  GenerateRequest r = greedy(grows, 60);
  r.ignore_end = true;
  const Answer cut = read_all(*f.engine->submit(r).value());
  ASSERT_EQ(cut.last.finish, FinishReason::kError);
  EXPECT_EQ(cut.last.error->code, ErrorCode::kTooLarge);
  EXPECT_GE(cut.tokens.size(), 10u);
  std::copy(document.begin(), document.end(), other.begin());
  EXPECT_EQ(read_all(*f.engine->submit(greedy(other, 5)).value()).tokens,
            expected_greedy(other, 5));
  other.resize(600);
  other[0] = 1 + other[0] % 99;
  EXPECT_EQ(read_all(*f.engine->submit(greedy(other, 5)).value()).tokens,
            expected_greedy(other, 5));
}

}  // namespace
}  // namespace xh
