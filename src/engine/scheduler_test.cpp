#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

namespace xh {
namespace {

std::vector<TokenId> prompt_of(int n, int seed) {
  std::mt19937 rng(static_cast<uint32_t>(seed));
  std::vector<TokenId> out(static_cast<size_t>(n));
  for (auto& t : out) t = static_cast<TokenId>(rng() % 1000);
  return out;
}

SequenceSpec spec_of(int n, int seed, std::string tenant = "a", int priority = 0) {
  SequenceSpec spec;
  spec.prompt = prompt_of(n, seed);
  spec.tenant = std::move(tenant);
  spec.priority = priority;
  return spec;
}

// Drives a scheduler with a machine whose steps cost 10 ms and 1 ms per row, unless told otherwise.
struct Machine {
  explicit Machine(SchedulerOptions options) : scheduler(options) {}

  StepPlan step() {
    StepPlan plan = scheduler.plan(now);
    const double ms = cost(plan);
    if (during_step) during_step();
    const bool wait = scheduler.hold_back(plan);
    for (const PlanEntry& e : plan.entries) {
      if (wait && e.n_logits > 0) {
        scheduler.hold(e.id, e.n_rows);
        continue;
      }
      if (e.n_logits > 0) scheduler.append(e.id, static_cast<TokenId>(2000 + e.id));
      scheduler.advance(e.id, e.n_rows, e.n_logits > 0);
    }
    scheduler.step_took(plan, ms);
    now += ms;
    last_ms = ms;
    EXPECT_EQ(scheduler.check(), "");
    return plan;
  }
  SequenceId add(SequenceSpec spec) { return scheduler.add(std::move(spec), now).value(); }
  // Answers of 16, and then a prompt of 4,000 tokens: how many steps it took, and the longest.
  std::pair<int, double> long_prompt_beside_streams() {
    std::vector<SequenceId> streams;
    for (int i = 0; i < 16; ++i) streams.push_back(add(spec_of(128, i)));
    while (!std::ranges::all_of(streams, [&](auto id) { return decoding(id); })) step();
    for (int i = 0; i < 20; ++i) step();
    const auto longer = add(spec_of(4000, 100));
    std::pair<int, double> out = {0, 0};
    for (; !decoding(longer) && out.first < 1000; ++out.first) {
      step();
      out.second = std::max(out.second, last_ms);
    }
    return out;
  }
  bool decoding(SequenceId id) {
    const Sequence* s = scheduler.find(id);
    return s->running && s->computed >= s->n_prompt;
  }

  Scheduler scheduler;
  double now = 0, last_ms = 0;
  std::function<void()> during_step;
  std::function<double(const StepPlan&)> cost = [](const StepPlan& plan) {
    return 10.0 + plan.shape.rows;
  };
};

SchedulerOptions roomy() {
  SchedulerOptions o;
  o.n_pages = 2000;
  o.max_batch_rows = 512;
  o.max_sequences = 8;
  return o;
}

TEST(Scheduler, ALongPromptStallsNobodyBeyondTheGoal) {
  auto options = roomy();
  options.stall_ms = 60;
  Machine m(options);
  const auto stream = m.add(spec_of(20, 1));
  for (int i = 0; i < 10; ++i) m.step();
  ASSERT_TRUE(m.decoding(stream));
  const auto longer = m.add(spec_of(4000, 2));
  int steps = 0;
  double worst = 0;
  while (!m.decoding(longer)) {
    m.step();
    worst = std::max(worst, m.last_ms);
    ASSERT_LT(++steps, 300);
  }
  EXPECT_LE(worst, 60.0);
  EXPECT_LT(steps, 4000 / 49 + 15);  // and it uses the room it has: 49 rows a step
}

// Rows of a prompt alone are cheap, many together; beside streams each costs four times as much.
TEST(Scheduler, TheFirstChunkIsNoLeap) {
  auto options = roomy();
  options.max_sequences = 20;
  Machine m(options);
  m.cost = [](const StepPlan& plan) {
    const int32_t rows = plan.shape.rows;
    return 30.0 + std::min(rows, 128) + 0.25 * std::max(0, rows - 128);
  };
  const auto [steps, longest] = m.long_prompt_beside_streams();
  EXPECT_LE(longest, 100.0);
  EXPECT_LT(steps, 4000 / 54 + 20);
}

// Deep rows cost more, and steps scatter by 8%.
TEST(Scheduler, ALongPromptStallsNobodyThoughStepsScatter) {
  auto options = roomy();
  options.max_sequences = 20;
  int too_long = 0, total = 0;
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    Machine m(options);
    std::mt19937 rng(seed);
    m.cost = [&](const StepPlan& plan) {
      const double noise = 0.96 + 0.08 * static_cast<double>(rng()) / 4294967296.0;
      return noise * (17 + 1.8 * plan.shape.rows + 3e-4 * plan.shape.keys);
    };
    const auto [steps, longest] = m.long_prompt_beside_streams();
    too_long += longest > 100;
    total += steps;
  }
  EXPECT_LE(too_long, 1);
  EXPECT_LT(total, 20 * 240);  // about 20 rows a step fit
}

// What happens once is no reason to hold back a prompt from then on.
TEST(Scheduler, AfterOneVeryLongStepAPromptGoesOn) {
  auto options = roomy();
  options.max_sequences = 20;
  Machine m(options);
  int beside = 0;
  m.cost = [&](const StepPlan& plan) {
    const bool chunk = plan.n_decodes > 0 && plan.entries.size() > plan.n_decodes;
    beside += chunk;
    return (30.0 + plan.shape.rows) * (chunk && beside == 12 ? 4 : 1);
  };
  const auto [steps, longest] = m.long_prompt_beside_streams();
  EXPECT_LT(steps, 4000 / 54 + 30);
}

TEST(Scheduler, WithoutStreamsPromptsUseTheWholeBatch) {
  Machine m(roomy());
  m.add(spec_of(1024, 1));
  EXPECT_EQ(m.step().tokens.size(), 512u);
  EXPECT_EQ(m.step().tokens.size(), 512u);
}

TEST(Scheduler, PromptsThatComeTogetherAreComputedTogether) {
  auto options = roomy();
  options.max_sequences = 40;
  for (bool tenants : {false, true}) {
    Machine m(options);
    std::vector<SequenceId> ids;
    for (int i = 0; i < 32; ++i)
      ids.push_back(m.add(spec_of(100 + i, i, tenants ? "t" + std::to_string(i) : "a")));
    int steps = 0;
    while (std::ranges::none_of(ids, [&](auto id) { return m.decoding(id); })) {
      m.step();
      ASSERT_LT(++steps, 10);
    }
    // 3,696 rows in batches of 512, and nobody has waited for a stream.
    EXPECT_EQ(steps, 8);
    EXPECT_TRUE(std::ranges::all_of(ids, [&](auto id) { return m.decoding(id); }));
  }
}

TEST(Scheduler, ThoseThatComeDuringTheFirstStepAreWaitedFor) {
  auto options = roomy();
  options.max_sequences = 40;
  Machine m(options);
  std::vector<SequenceId> ids = {m.add(spec_of(128, 1))};
  m.during_step = [&] {
    for (int i = 2; i <= 32; ++i) ids.push_back(m.add(spec_of(128, i)));
    m.during_step = nullptr;
  };
  int steps = 0;
  while (std::ranges::none_of(ids, [&](auto id) { return m.decoding(id); })) {
    m.step();
    ASSERT_LT(++steps, 12);
  }
  EXPECT_EQ(steps, 9);  // 128 rows, then 3,969 in batches of 512
  EXPECT_TRUE(std::ranges::all_of(ids, [&](auto id) { return m.decoding(id); }));
  // One that comes alone is not waited for, nor a longer one.
  for (int length : {100, 1000}) {
    Machine alone(options);
    const auto first = alone.add(spec_of(128, 1));
    alone.during_step = [&] { alone.add(spec_of(length, 2)); };
    alone.step();
    EXPECT_TRUE(alone.decoding(first)) << length;
  }
}

TEST(Scheduler, AShortPromptWaitsForNoLongOneAndForNoGreedyTenant) {
  auto options = roomy();
  options.max_sequences = 40;
  {
    Machine m(options);
    m.add(spec_of(3000, 1));
    const auto small = m.add(spec_of(100, 2));
    m.step();
    EXPECT_TRUE(m.decoding(small));
  }
  {
    Machine m(options);
    for (int i = 0; i < 20; ++i) m.add(spec_of(120, i, "many"));
    const auto one = m.add(spec_of(100, 100, "one"));
    m.step(), m.step();
    EXPECT_TRUE(m.decoding(one));
  }
  {  // nor for ever, for those that keep coming
    Machine m(options);
    const auto first = m.add(spec_of(100, 1));
    for (int i = 0; i < 39; ++i) m.add(spec_of(100, 100 + i));
    int steps = 0;
    for (int next = 1000; !m.decoding(first); ++next) {
      m.step();
      ASSERT_LT(++steps, 6144 / 512 + 3);
      m.add(spec_of(100, next));
    }
  }
}

TEST(Scheduler, AFloodOfOneTenantDoesNotHoldUpAnother) {
  Machine m(roomy());
  for (int i = 0; i < 100; ++i) m.add(spec_of(400, i, "flood"));
  for (int i = 0; i < 3; ++i) m.step();
  const double arrived = m.now;
  const auto small = m.add(spec_of(100, 1000, "small"));
  while (!m.decoding(small)) m.step();
  EXPECT_LT(m.now - arrived, 1500);  // a fair wait, and a prompt's time
  // The other keeps all places but the shares of two tenants.
  for (int i = 0; i < 50; ++i) m.step();
  EXPECT_TRUE(m.decoding(small));
}

TEST(Scheduler, ServiceIsSharedEquallyBetweenBusyTenants) {
  Machine m(roomy());
  std::map<std::string, int> rows;
  std::map<std::string, int> open;
  int seed = 0;
  for (int i = 0; i < 400; ++i) {
    for (; open["a"] < 12; ++open["a"]) m.add(spec_of(600, ++seed, "a"));
    for (; open["b"] < 12; ++open["b"]) m.add(spec_of(60, ++seed, "b"));
    const StepPlan plan = m.step();
    for (const PlanEntry& e : plan.entries) {
      const Sequence* s = m.scheduler.find(e.id);
      rows[s->spec.tenant] += e.n_rows;
      if (s->n_tokens() == s->n_prompt) continue;
      --open[s->spec.tenant];
      m.scheduler.remove(e.id);
    }
  }
  const double ratio = double(rows["a"]) / rows["b"];
  EXPECT_GT(ratio, 0.6);
  EXPECT_LT(ratio, 1.7);
}

TEST(Scheduler, HigherPriorityGoesFirstAndWaitingLiftsTheRest) {
  auto options = roomy();
  options.max_sequences = 1;
  options.age_ms = 100;
  Machine m(options);
  const auto running = m.add(spec_of(10, 1));
  m.step();
  const auto low = m.add(spec_of(10, 2, "a", 0));
  const auto high = m.add(spec_of(10, 3, "a", 1));
  m.scheduler.remove(running);
  m.step();
  EXPECT_TRUE(m.scheduler.find(high)->running);
  m.now += 1000;  // by now the first has outwaited a newcomer of higher priority
  const auto newcomer = m.add(spec_of(10, 4, "a", 1));
  m.scheduler.remove(high);
  m.step();
  EXPECT_TRUE(m.scheduler.find(low)->running);
  EXPECT_FALSE(m.scheduler.find(newcomer)->running);
}

TEST(Scheduler, PreemptsNewestWhenPagesRunOut) {
  auto options = roomy();
  options.n_pages = 12;
  options.prefix_cache = false;
  Machine m(options);
  const auto first = m.add(spec_of(100, 1)), second = m.add(spec_of(100, 2));
  while (m.scheduler.preemptions() == 0) m.step();
  EXPECT_TRUE(m.scheduler.find(first)->running);
  EXPECT_FALSE(m.scheduler.find(second)->running);
  EXPECT_EQ(m.scheduler.pool().n_free(), 12 - pages_for(m.scheduler.find(first)->n_tokens()));
  const auto kept = m.scheduler.find(second)->tokens;
  m.scheduler.remove(first);
  m.step();
  const Sequence* back = m.scheduler.find(second);
  EXPECT_TRUE(back->running);
  EXPECT_TRUE(std::equal(kept.begin(), kept.end(), back->tokens.begin()));
}

TEST(Scheduler, QueueIsBounded) {
  auto options = roomy();
  options.max_waiting = 3;
  Scheduler s(options);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(s.add(spec_of(5, i), 0).has_value());
  EXPECT_EQ(s.add(spec_of(5, 9), 0).error().code, ErrorCode::kUnavailable);
}

TEST(Scheduler, ManyTenantsLeaveNoTrace) {
  Machine m(roomy());
  for (int i = 0; i < 20000; ++i) {
    const auto id = m.scheduler.add(spec_of(3, i, "tenant " + std::to_string(i)), 0).value();
    m.scheduler.remove(id);
  }
  EXPECT_EQ(m.scheduler.check(), "");
}

TEST(StepCost, FindsTheMachine) {
  StepCost cost;
  std::mt19937 rng(1);
  for (int i = 0; i < 64; ++i) {
    StepShape shape{.stream_rows = 1};
    shape.add(static_cast<int32_t>(rng() % 4000), 1 + static_cast<int32_t>(rng() % 300));
    cost.observe(shape, 20 + 0.5 * shape.rows + 1e-4 * shape.keys);
  }
  StepShape probe;
  probe.add(1000, 100);
  EXPECT_NEAR(cost.predict(probe), 20 + 50 + 1e-4 * probe.keys, 2);
  const int32_t rows = cost.rows_within(100, {}, 0, 4000);
  EXPECT_NEAR(rows, 150, 8);
}

// One wider step beside many of the same width: the next one's cost is on the line through both.
TEST(StepCost, LearnsARowsCostFromTheFirstChunk) {
  StepCost cost;
  const auto observe = [&](int32_t streams, int32_t chunk, int32_t pos) {
    StepShape shape{.stream_rows = streams};
    for (int32_t i = 0; i < streams; ++i) shape.add(pos, 1);
    shape.add(0, chunk);
    cost.observe(shape, 17 + 1.9 * shape.rows);
  };
  for (int32_t i = 0; i < 25; ++i) observe(16, 0, 128 + i);
  observe(16, 8, 153);
  StepShape next{.rows = 16, .stream_rows = 16, .keys = 16 * 155};
  next.add(8, 20);
  EXPECT_NEAR(cost.predict(next), 17 + 1.9 * 36, 3);
}

TEST(StepCost, KeepsABudgetThoughStepsScatter) {
  StepCost cost;
  const auto truth = [](const StepShape& s) { return 5 + 0.5 * s.rows; };
  int over = 0, wide = 0;
  uint32_t seed = 1;
  const StepShape streams{.rows = 8, .stream_rows = 8};
  for (int step = 0; step < 20; ++step) cost.observe(streams, truth(streams));
  for (int step = 0; step < 600; ++step) {
    seed = seed * 1664525 + 1013904223;
    const double noise = 1 + 0.3 * (seed >> 8) / (1 << 24);  // up to 30% slower than at best
    StepShape shape{.stream_rows = 8};
    shape.add(0, 8 + cost.rows_within(100, streams, 0, 400));
    const double ms = truth(shape) * noise;
    cost.observe(shape, ms);
    if (step < 200) continue;
    ++wide;
    over += ms > 100;
    EXPECT_GT(ms, 60);  // and the budget is used
  }
  EXPECT_LT(over, wide / 8);
}

TEST(StepCost, NeverPredictsLessForMore) {
  StepCost cost;
  std::mt19937 rng(2);
  for (int i = 0; i < 200; ++i) {
    StepShape shape{.stream_rows = 1};
    shape.add(static_cast<int32_t>(rng() % 4000), 1 + static_cast<int32_t>(rng() % 300));
    cost.observe(shape, 1 + static_cast<double>(rng() % 1000));  // noise
    StepShape small, large;
    small.add(0, 1);
    large.add(0, 512);
    ASSERT_LE(cost.predict(small), cost.predict(large));
    ASSERT_GE(cost.predict(small), 0);
  }
}

}  // namespace
}  // namespace xh
