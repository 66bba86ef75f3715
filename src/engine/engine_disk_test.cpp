// The engine with keys and values on disk, and with pinned documents: same tokens, less work.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <thread>

#include "engine/engine.h"
#include "engine/fake_model.h"

namespace xh {
namespace {

namespace fs = std::filesystem;
using fake::expected_greedy;
using fake::FakeModel;
using Tokens = std::vector<TokenId>;

Tokens some_tokens(unsigned seed, size_t n) {
  std::mt19937 rng(seed);
  Tokens out(n);
  for (auto& t : out) t = static_cast<TokenId>(1 + rng() % 99);
  return out;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class EngineDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "xh_engine_disk_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    options_.kv_disk_folder = folder_ + "/kv";
    options_.kv_disk_bytes = 64 << 20;
    start();
  }
  void TearDown() override {
    engine_.reset();
    fs::remove_all(folder_);
  }

  void start(int32_t pages = 256) {
    engine_.reset();
    auto model = std::make_unique<FakeModel>(4096);
    model_ = model.get();
    observed_ = model->observed;
    options_.kv_budget_bytes = static_cast<uint64_t>(pages) * kPageTokens * sizeof(int32_t);
    LoadedModel loaded = fake::loaded(std::move(model));
    loaded.fingerprint = "fake";
    engine_ = Engine::create(std::move(loaded), options_).value();
  }

  struct Answer {
    Tokens tokens;
    StreamEvent last;
  };
  std::unique_ptr<TokenStream> submit(const Tokens& prompt, int32_t max_tokens,
                                      const std::string& tenant = "") {
    GenerateRequest r;
    r.prompt = prompt;
    r.max_tokens = max_tokens;
    r.sampling.temperature = 0;
    r.tenant = tenant;
    return engine_->submit(std::move(r)).value();
  }
  static Answer read(TokenStream& stream) {
    Answer out;
    do {
      out.last = stream.wait();
      out.tokens.insert(out.tokens.end(), out.last.tokens.begin(), out.last.tokens.end());
    } while (!out.last.finish);
    return out;
  }
  // The answer, which must be the right one; returns the prompt tokens that were not computed.
  int32_t ask(const Tokens& prompt, const std::string& tenant = "", int32_t max_tokens = 20) {
    const auto stream = submit(prompt, max_tokens, tenant);
    const Answer a = read(*stream);
    EXPECT_EQ(a.tokens, expected_greedy(prompt, a.last.usage.completion_tokens));
    EXPECT_FALSE(observed_->broken);
    return a.last.usage.cached_tokens;
  }
  void wait_written(uint64_t pages) {
    for (int i = 0; i < 2000 && engine_->stats().kv_disk.pages_written < pages; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ASSERT_GE(engine_->stats().kv_disk.pages_written, pages);
  }

  std::string folder_;
  EngineOptions options_;
  std::shared_ptr<fake::Observed> observed_;
  FakeModel* model_ = nullptr;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineDiskTest, TheSecondQuestionAfterARestartComputesTheQuestionAlone) {
  const Tokens document = some_tokens(1, 1000);
  EXPECT_EQ(ask(joined(document, some_tokens(2, 100))), 0);
  EXPECT_GE(ask(joined(document, some_tokens(3, 30))), 1000);
  start();
  const auto before = observed_->rows;
  EXPECT_GE(ask(joined(document, some_tokens(4, 30))), 1000);
  EXPECT_LE(observed_->rows - before, 30u + 20u * 16u);
  const EngineStats stats = engine_->stats();
  EXPECT_EQ(stats.prefix_hits_disk, 1u);
  EXPECT_EQ(stats.prefix_hits_memory, 0u);
  EXPECT_GE(stats.kv_disk.pages_restored, 32u);
  // From now on it is in memory.
  EXPECT_GE(ask(joined(document, some_tokens(5, 30))), 1000);
  EXPECT_EQ(engine_->stats().prefix_hits_disk, 1u);
  EXPECT_EQ(engine_->stats().prefix_hits_memory, 1u);
}

TEST_F(EngineDiskTest, WhatLeftMemoryComesBack) {
  start(48);  // one document of 40 pages at a time
  const Tokens a = some_tokens(1, 1280), b = some_tokens(2, 1280);
  for (int round = 0; round < 3; ++round) {
    const int32_t from_a = ask(joined(a, {7}));
    wait_written(40);
    const int32_t from_b = ask(joined(b, {7}));
    wait_written(80);
    if (round == 0) continue;
    EXPECT_GE(from_a, 1280);
    EXPECT_GE(from_b, 1280);
  }
}

TEST_F(EngineDiskTest, ManyWhoWaitForTheSameDocument) {
  const Tokens document = some_tokens(1, 2000);
  ask(joined(document, {5, 6, 7}));
  start();
  std::vector<std::unique_ptr<TokenStream>> streams;
  std::vector<Tokens> prompts;
  for (unsigned i = 0; i < 30; ++i) {
    prompts.push_back(joined(document, some_tokens(100 + i, 10)));
    streams.push_back(submit(prompts.back(), 10));
  }
  for (size_t i = 0; i < streams.size(); ++i) {
    const Answer a = read(*streams[i]);
    EXPECT_EQ(a.tokens, expected_greedy(prompts[i], a.last.usage.completion_tokens));
    EXPECT_GE(a.last.usage.cached_tokens, 1984);
  }
  EXPECT_LE(engine_->stats().kv_disk.pages_restored, 63u);  // once
}

TEST_F(EngineDiskTest, AClientThatLeavesWhileItsPagesComeBack) {
  const Tokens document = some_tokens(1, 2000);
  ask(document);
  for (int i = 0; i < 20; ++i) {
    start();
    auto stream = submit(document, 10);
    if (i % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100 * i));
    stream.reset();
    if (i % 4 < 2) {
      EXPECT_GE(ask(document), 1984);
    }
  }
}

// T4: what one tenant asked helps no other one, from memory or from disk, in 1,000 probes.
TEST_F(EngineDiskTest, TenantsLearnNothingOfEachOther) {
  std::vector<Tokens> secrets;
  for (unsigned i = 0; i < 10; ++i) {
    secrets.push_back(some_tokens(i, 320));
    ask(secrets.back(), "owner", 1);
  }
  wait_written(100);
  for (const bool restarted : {false, true}) {
    if (restarted) start();
    for (unsigned i = 0; i < 500; ++i) {
      const bool hit = i % 2 == 0;
      const Tokens probe = hit ? secrets[i / 2 % 10] : some_tokens(1000 + i, 320);
      const auto rows = observed_->rows;
      const auto disk = engine_->stats().kv_disk.pages_restored;
      ASSERT_EQ(ask(probe, "thief" + std::to_string(restarted * 500 + i), 1), 0);
      ASSERT_EQ(observed_->rows - rows, 320u);
      ASSERT_EQ(engine_->stats().kv_disk.pages_restored, disk);
    }
  }
  EXPECT_GE(ask(secrets[3], "owner", 1), 300);
}

// T19: flipped bits in memory end no other request; what is damaged is not kept.
TEST_F(EngineDiskTest, DamageInMemoryDoesNotReachTheDisk) {
  const Tokens document = some_tokens(1, 640);
  ask(document);
  wait_written(20);
  // Between requests the engine's thread sleeps: nobody else touches the store.
  for (int32_t page = 0; page < 256; ++page)
    if (model_->store_->slot(page, 3) >= 0) model_->store_->slot(page, 3) = fake::kDamaged;
  ask(document);  // is computed again without the cache, and right
  start();
  ask(document);
  EXPECT_EQ(engine_->stats().failed, 0u);
}

TEST_F(EngineDiskTest, AFolderThatCannotBeUsedCostsNothingElse) {
  engine_.reset();
  options_.kv_disk_folder = "/proc/nowhere";
  start();
  const Tokens document = some_tokens(1, 640);
  ask(document);
  EXPECT_GE(ask(document), 600);
  EXPECT_FALSE(engine_->stats().kv_disk.on);
}

class PinTest : public EngineDiskTest {
 protected:
  void wait_pinned() {
    for (int i = 0; i < 5000 && engine_->stats().pins_ready < engine_->stats().pins_wanted; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_EQ(engine_->stats().pins_ready, engine_->stats().pins_wanted);
  }
};

TEST_F(PinTest, EveryTenantBeginsWithItAndItIsNeverEvicted) {
  const Tokens document = some_tokens(1, 650);  // ends inside a page
  options_.pins = {{"handbook", document}};
  start(64);
  wait_pinned();
  EXPECT_EQ(engine_->stats().pages_pinned, 21);
  for (unsigned i = 0; i < 20; ++i) {
    ask(some_tokens(100 + i, 900), "big");  // wants all the memory there is
    EXPECT_GE(ask(joined(document, some_tokens(200 + i, 40)), "t" + std::to_string(i % 5)), 650);
  }
  EXPECT_EQ(engine_->stats().pages_pinned, 21);
  // What was said after the document stays with its tenant.
  const Tokens longer = joined(document, some_tokens(7, 200));
  EXPECT_LE(ask(longer, "t0"), 672);
  EXPECT_GE(ask(longer, "t0"), 832);
  EXPECT_LE(ask(longer, "t1"), 672);
  start(64);  // and back from disk
  wait_pinned();
  EXPECT_GE(engine_->stats().kv_disk.pages_restored, 20u);
  EXPECT_LE(observed_->rows, 40u);
}

TEST_F(PinTest, RefusesWhatCannotBePinned) {
  engine_.reset();
  const auto create = [&](Tokens tokens, int32_t pages) {
    EngineOptions o;
    o.pins = {{"handbook", std::move(tokens)}};
    o.kv_budget_bytes = static_cast<uint64_t>(pages) * kPageTokens * sizeof(int32_t);
    auto made = Engine::create(fake::loaded(std::make_unique<FakeModel>(4096)), o);
    return made ? ErrorCode::kInternal : made.error().code;
  };
  EXPECT_EQ(create(some_tokens(1, 5000), 1000), ErrorCode::kTooLarge);
  EXPECT_EQ(create(some_tokens(1, 1000), 40), ErrorCode::kOutOfMemory);
  EXPECT_EQ(create({}, 40), ErrorCode::kTooLarge);
  EXPECT_EQ(create({5, 1 << 20}, 40), ErrorCode::kInvalidArgument);
}

TEST_F(PinTest, DrainDoesNotWaitForIt) {
  options_.pins = {{"handbook", some_tokens(1, 3000)}};
  options_.max_batch_rows = 1;
  start();
  engine_->drain();
  for (int i = 0; i < 5000 && !engine_->drained(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(engine_->drained());
}

// T18: greedy answers are the same whatever else runs, with and without cache, disk, preemption and
// guesses.
TEST_F(EngineDiskTest, OneOutputUnderAnyLoad) {
#ifdef NDEBUG
  const int n_rounds = std::getenv("XIAOHU_LONG_TESTS") != nullptr ? 400 : 40;
#else
  const int n_rounds = 8;
#endif
  std::mt19937 rng(18);
  uint64_t preempted = 0, restored = 0, guessed = 0;
  int runs = 0;
  const Tokens document = some_tokens(1, 600);
  for (int round = 0; round < n_rounds; ++round) {
    options_.prefix_cache = rng() % 4 != 0;
    options_.speculation = rng() % 2 == 0;
    options_.kv_disk_bytes = rng() % 4 == 0 ? 0 : 1 << 16;
    options_.kv_disk_min_pages = 1 + static_cast<int32_t>(rng() % 8);
    options_.max_batch_rows = 16 + static_cast<int32_t>(rng() % 200);
    options_.max_sequences = 1 + static_cast<int32_t>(rng() % 12);
    start(40 + static_cast<int32_t>(rng() % 40));
    std::vector<std::pair<Tokens, std::unique_ptr<TokenStream>>> streams;
    for (unsigned i = 0; i < 25; ++i) {
      Tokens prompt = some_tokens(static_cast<unsigned>(rng() % 12), 1 + rng() % 300);
      if (rng() % 2 == 0) prompt = joined(document, prompt);
      streams.emplace_back(prompt, submit(prompt, 60, rng() % 3 == 0 ? "other" : ""));
      if (rng() % 6 == 0) streams.erase(streams.begin());  // leaves
    }
    for (auto& [prompt, stream] : streams) {
      const Answer a = read(*stream);
      ASSERT_EQ(a.tokens, expected_greedy(prompt, a.last.usage.completion_tokens)) << round;
      ASSERT_NE(a.last.finish, FinishReason::kError);
      ++runs;
    }
    ASSERT_FALSE(observed_->broken);
    const EngineStats stats = engine_->stats();
    preempted += stats.preemptions;
    restored += stats.kv_disk.pages_restored;
    guessed += stats.guessed_tokens;
  }
  printf("  %d runs, %lu preemptions, %lu pages restored, %lu guesses\n", runs, preempted, restored,
         guessed);
  EXPECT_GT(preempted, 0u);
  EXPECT_GT(restored, 0u);
}

}  // namespace
}  // namespace xh
