// The scheduler against thousands of random days: arrivals, cancellations, tenants, priorities,
// shared prefixes, tiny page budgets, NaNs. No model and no threads; time is simulated.
//
// Invariants, looked at after every few steps:
//   pages        each reference has exactly one owner, the free list is the rest, the budget is
//                never exceeded (Scheduler::check)
//   writing      a page is written by one sequence, never while someone else relies on its content
//   tokens       what a sequence reads through its pages is its own history, token by token, as far
//                back as its model sees; so its output is what it would be alone
//   progress     a step with work computes something; everybody is done in the end
//   disk         pages that are kept hold what they should until they leave memory; what comes back
//                may be late, or less than promised
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <unordered_map>
#include <utility>

#include "engine/scheduler.h"
#include "sampling/random.h"

namespace xh {
namespace {

constexpr int32_t kEmpty = -1;
constexpr TokenId kEnd = 0;
constexpr TokenId kNan = 1;  // a prompt with it has logits that are not finite

// The next token as a function of the whole history. Answers are about `length` tokens long.
TokenId next_token(uint64_t state, uint64_t length) {
  const uint64_t r = mix64(state);
  return r % length == 0 ? kEnd : static_cast<TokenId>(2 + r / 4096 % 60);
}

struct Day {
  SchedulerOptions options;
  int32_t context = 0;
  int arrivals = 0;
  double arrival_gap_ms = 0;
  uint32_t cancel_in = 0, nan_in = 0, deadline_in = 0;  // one in so many; 0: never
  int n_tenants = 1, n_prefixes = 1, max_prompt = 100, max_output = 50;
  uint32_t draft_in = 0;
  uint64_t answer_length = 24;
  bool cold = false;
};

Day random_day(std::mt19937_64& rng) {
  auto between = [&](int low, int high) {
    return low + static_cast<int>(rng() % static_cast<uint64_t>(high - low + 1));
  };
  Day d;
  d.options.n_pages = between(1, 3) == 1 ? between(16, 60) : between(3, 16);
  d.options.max_batch_rows = between(1, 4) == 1 ? between(1, 20) : between(16, 200);
  d.options.max_sequences = std::min(between(1, 12), d.options.max_batch_rows);
  d.options.max_waiting = 1000;
  d.options.max_scored_rows = between(1, 64);
  d.options.stall_ms = between(1, 40);
  d.options.age_ms = between(20, 5000);
  d.options.fair_wait_ms = between(1, 2) == 1 ? between(0, 50) : 1000;
  d.options.prefix_cache = between(1, 8) != 1;
  d.context = std::min(d.options.n_pages * kPageTokens, between(40, 700));
  if (const int pages = d.options.n_pages; pages > 3 && between(0, 2) == 0) {
    d.options.window = between(1, std::min((pages - 3) * kPageTokens, 200));
    d.context = between(40, 1500);  // whatever the memory
  }
  d.arrivals = between(1, 25);
  d.arrival_gap_ms = between(0, 1) == 0 ? 0 : between(1, 30);
  d.cancel_in = between(0, 2) == 0 ? 20 : 0;
  d.nan_in = between(0, 4) == 0 ? 5 : 0;
  d.deadline_in = between(0, 4) == 0 ? 6 : 0;
  d.n_tenants = between(1, 3);
  d.n_prefixes = between(1, 4);
  d.max_prompt = std::max(1, std::min(d.context - 2, between(1, 2) == 1 ? between(5, 400) : 40));
  d.max_output = between(1, 2) == 1 ? between(1, 80) : 300;
  d.answer_length = between(1, 2) == 1 ? 24 : 200;
  d.draft_in = between(0, 2) == 0 ? 2 : 0;
  d.cold = between(0, 1) == 0;
  return d;
}

// A disk that takes its time, reads what it keeps when it likes, and loses pages.
class FakeCold final : public ColdPages {
 public:
  FakeCold(std::vector<int32_t>& slots, std::mt19937_64& rng) : slots_(slots), rng_(rng) {}

  Found find(const std::string& tenant, std::span<const TokenId> tokens, int32_t depth) override {
    Found best;
    size_t longest = 0;
    const size_t known = page_start(depth);
    for (const auto& [owner, path] : kept_) {
      if (owner != tenant) continue;
      const auto [a, b] = std::ranges::mismatch(tokens, path);
      const auto common = static_cast<size_t>(a - tokens.begin());
      if (common <= known || common <= longest) continue;
      longest = common;
      const size_t end = (common + kPageTokens - 1) / kPageTokens * kPageTokens;
      best.tokens.assign(path.begin() + static_cast<std::ptrdiff_t>(known),
                         path.begin() + static_cast<std::ptrdiff_t>(end));
      best.places.assign((end - known) / kPageTokens, 0);
    }
    return best;
  }
  void fetch(FetchId id, const Found& found, std::vector<PageId> pages) override {
    jobs_.push_back({id, found.tokens, std::move(pages)});
  }
  std::vector<Fetched> take_fetched() override { return std::exchange(done_, {}); }
  void keep(const std::string& tenant, std::span<const TokenId> tokens,
            std::span<const PageId> pages, bool) override {
    kept_.emplace_back(tenant, std::vector<TokenId>(tokens.begin(), tokens.end()));
    if (kept_.size() > 20) kept_.erase(kept_.begin());
    for (size_t i = 0; i < pages.size(); ++i)
      readable_[pages[i]].assign(
          tokens.begin() + static_cast<std::ptrdiff_t>(i * kPageTokens),
          tokens.begin() + static_cast<std::ptrdiff_t>((i + 1) * kPageTokens));
  }
  void page_leaves(PageId page) override { readable_.erase(page); }
  void forget(const std::string& tenant, std::span<const TokenId> tokens) override {
    std::erase_if(kept_, [&](const auto& k) {
      return k.first == tenant && !tokens.empty() && k.second.front() == tokens.front();
    });
  }

  // Some time passes. False: a page that was to be kept has changed.
  bool tick() {
    for (const auto& [page, tokens] : readable_)
      if (rng_() % 8 == 0 && !std::ranges::equal(slots_of(page), tokens)) return false;
    std::erase_if(jobs_, [&](const Job& job) {
      if (rng_() % 3 != 0) return false;
      const size_t n = rng_() % 6 == 0 ? rng_() % (job.pages.size() + 1) : job.pages.size();
      for (size_t i = 0; i < n; ++i)
        std::ranges::copy(std::span(job.tokens).subspan(i * kPageTokens, kPageTokens),
                          slots_of(job.pages[i]).begin());
      restored += n;
      done_.push_back({job.id, static_cast<int32_t>(n)});
      return true;
    });
    return true;
  }
  uint64_t restored = 0;

 private:
  struct Job {
    FetchId id;
    std::vector<TokenId> tokens;
    std::vector<PageId> pages;
  };
  std::span<int32_t> slots_of(PageId page) {
    return std::span(slots_).subspan(page_start(page), kPageTokens);
  }
  std::vector<int32_t>& slots_;
  std::mt19937_64& rng_;
  std::vector<std::pair<std::string, std::vector<TokenId>>> kept_;
  std::unordered_map<PageId, std::vector<TokenId>> readable_;
  std::vector<Job> jobs_;
  std::vector<Fetched> done_;
};

struct Client {
  std::vector<TokenId> prompt, output;
  int32_t max_output = 0;
  bool poisoned = false;
  bool scoring = false;
  int32_t scored = 0;
  uint64_t state = 0;  // of prompt and output
};

class Simulation {
 public:
  Simulation(uint64_t seed, Day day)
      : rng_(seed),
        day_(day),
        cold_(slots_, rng_),
        scheduler_(day.options, day.cold ? &cold_ : nullptr) {
    slots_.assign(static_cast<size_t>(day.options.n_pages) * kPageTokens, kEmpty);
    for (int i = 0; i < day.n_prefixes; ++i) {
      prefixes_.emplace_back();
      for (int n = below(day_.max_prompt); n > 0; --n) prefixes_.back().push_back(any_token());
    }
  }

  // Empty when all went well.
  std::string run() {
    int arrived = 0;
    double next_arrival = 0;
    for (int step = 0; step < 200000; ++step) {
      while (arrived < day_.arrivals && next_arrival <= now_ms_) {
        arrive();
        ++arrived;
        next_arrival += day_.arrival_gap_ms * static_cast<double>(below(200)) / 100;
      }
      if (clients_.empty()) {
        if (arrived == day_.arrivals) return finish();
        now_ms_ = next_arrival;
        continue;
      }
      one_step();
      if (wrong_.empty() && step % 3 == 0) wrong_ = scheduler_.check();
      if (!wrong_.empty()) return wrong_ + " in step " + std::to_string(step);
    }
    return "never done: " + std::to_string(clients_.size()) + " left";
  }

  uint64_t rows = 0, preempted = 0, finished = 0, failed = 0, adopted = 0;
  uint64_t restored() const { return cold_.restored; }

 private:
  int below(int n) { return static_cast<int>(rng_() % static_cast<uint64_t>(std::max(n, 1))); }
  bool one_in(uint32_t n) { return n > 0 && rng_() % n == 0; }
  TokenId any_token() { return static_cast<TokenId>(2 + rng_() % 60); }
  int32_t& slot(PageId page, int32_t i) {
    return slots_[static_cast<size_t>(page * kPageTokens + i)];
  }
  void complain(std::string what) {
    if (wrong_.empty()) wrong_ = std::move(what);
  }

  void arrive() {
    Client c;
    const int n = 1 + below(day_.max_prompt);
    if (below(3) > 0) c.prompt = prefixes_[static_cast<size_t>(below(day_.n_prefixes))];
    if (below(4) == 0 && !histories_.empty())  // the next turn of a chat
      c.prompt = histories_[static_cast<size_t>(below(static_cast<int>(histories_.size())))];
    if (static_cast<int>(c.prompt.size()) > n) c.prompt.resize(static_cast<size_t>(n));
    while (static_cast<int>(c.prompt.size()) < n) c.prompt.push_back(any_token());
    if (one_in(day_.nan_in)) c.prompt[static_cast<size_t>(below(n))] = kNan, c.poisoned = true;
    c.max_output = std::min(1 + below(day_.max_output), day_.context - n);
    c.scoring = below(10) == 0;
    for (TokenId t : c.prompt) c.state = mix64(c.state ^ static_cast<uint64_t>(t));
    SequenceSpec spec;
    spec.prompt = c.prompt;
    spec.tenant = std::string(1, static_cast<char>('a' + below(day_.n_tenants)));
    spec.priority = below(5) == 0 ? below(3) - 1 : 0;
    spec.score_prompt = c.scoring;
    if (one_in(day_.deadline_in)) spec.deadline_ms = now_ms_ + below(500);
    const auto id = scheduler_.add(spec, now_ms_);
    if (!id) return complain("refused");
    clients_.emplace(*id, std::move(c));
  }

  // The draft is the truth for some tokens, then perhaps a lie.
  void guess() {
    for (auto& [id, c] : clients_) {
      const Sequence* seq = scheduler_.find(id);
      if (!one_in(day_.draft_in) || seq->pending() != 1 || !seq->running) continue;
      std::vector<TokenId> draft;
      uint64_t state = c.state;
      for (int n = below(6); n > 0; --n) {
        draft.push_back(next_token(state, day_.answer_length));
        state = mix64(state ^ static_cast<uint64_t>(draft.back()));
      }
      if (!draft.empty() && below(2) == 0) draft.back() = any_token();
      scheduler_.set_draft(id, draft);
    }
  }

  void one_step() {
    if (!cold_.tick()) complain("a page changed before it left");
    std::vector<SequenceId> leaving;
    for (auto& [id, c] : clients_)
      if (one_in(day_.cancel_in)) leaving.push_back(id);
    for (SequenceId id : leaving) {
      scheduler_.remove(id);
      clients_.erase(id);
    }
    if (clients_.empty()) return;
    guess();
    const StepPlan plan = scheduler_.plan(now_ms_);
    for (SequenceId id : plan.expired) clients_.erase(id);
    if (!plan.stuck.empty()) complain("pages for one are not enough");
    for (const PageCopy& c : plan.copies)
      for (int32_t i = 0; i < kPageTokens; ++i)
        slot(c.dst, i) = i < c.n_tokens ? slot(c.src, i) : kEmpty;
    if (plan.empty()) {
      now_ms_ += 0.5;
      if (!clients_.empty() && scheduler_.n_restoring() == 0) complain("a step without work");
      return;
    }
    check_shape(plan);
    write(plan);
    for (const PlanEntry& e : plan.entries) read(plan, e);
    double ms = 0.5;
    for (const PlanEntry& e : plan.entries) ms += 0.05 * e.n_rows + 1e-5 * e.n_rows * e.first_pos;
    scheduler_.step_took(plan, ms);
    now_ms_ += ms;
    rows += plan.tokens.size();
  }

  void check_shape(const StepPlan& plan) {
    if (static_cast<int32_t>(plan.tokens.size()) > day_.options.max_batch_rows)
      complain("too many rows");
    int32_t row = 0;
    size_t logits = 0;
    for (size_t i = 0; i < plan.entries.size(); ++i) {
      const PlanEntry& e = plan.entries[i];
      if (e.first_row != row || plan.sequences[i].first_row != row || e.n_rows < 1 ||
          plan.sequences[i].n_rows != e.n_rows || plan.sequences[i].first_pos != e.first_pos)
        complain("rows have gaps");
      row += e.n_rows;
      logits += static_cast<size_t>(e.n_logits);
      if (static_cast<int32_t>(plan.sequences[i].pages.size()) < pages_for(e.first_pos + e.n_rows))
        complain("rows without pages");
    }
    if (logits != plan.logit_rows.size() || row != static_cast<int32_t>(plan.tokens.size()) ||
        !std::is_sorted(plan.logit_rows.begin(), plan.logit_rows.end()))
      complain("the batch does not add up");
  }

  void write(const StepPlan& plan) {
    std::set<PageId> written;
    for (const SequenceRows& s : plan.sequences) {
      std::set<PageId> own;
      for (int32_t i = 0; i < s.n_rows; ++i) {
        const int32_t pos = s.first_pos + i;
        const PageId page = s.pages[static_cast<size_t>(pos / kPageTokens)];
        slot(page, pos % kPageTokens) = plan.tokens[static_cast<size_t>(s.first_row + i)];
        own.insert(page);
      }
      for (PageId page : own)
        if (!written.insert(page).second) complain("two sequences write one page");
    }
  }

  // What the model would see up to and with position `pos`, through the first row's window, and
  // whether it is what it should be.
  bool history_is_right(const SequenceRows& s, const std::vector<TokenId>& tokens, int32_t pos) {
    const int32_t window = day_.options.window;
    for (int32_t p = window > 0 ? std::max(0, s.first_pos + 1 - window) : 0; p <= pos; ++p)
      if (s.pages[static_cast<size_t>(p / kPageTokens)] == kNoPage ||
          slot(s.pages[static_cast<size_t>(p / kPageTokens)], p % kPageTokens) !=
              tokens[static_cast<size_t>(p)])
        return false;
    return true;
  }

  void read(const StepPlan& plan, const PlanEntry& e) {
    const Sequence* seq = scheduler_.find(e.id);
    if (seq == nullptr || !seq->running) return;  // fell with another's poisoned pages
    const SequenceRows s{e.first_row, e.n_rows, e.first_pos, seq->pages};
    Client& c = clients_.at(e.id);
    std::vector<TokenId> history = c.prompt;
    history.insert(history.end(), c.output.begin(), c.output.end());
    if (seq->tokens != history) return complain("tokens changed");
    const int32_t accepted_rows = e.n_rows - e.n_draft;
    // Damage stays, so a look now and then finds it as well, in a fraction of the time.
    if ((e.n_rows > 1 || below(4) == 0) &&
        !history_is_right(s, history, e.first_pos + accepted_rows - 1))
      return complain("sequence " + std::to_string(e.id) + " reads what is not its own");
    if (e.n_logits == 0) return scheduler_.advance(e.id, e.n_rows, false);
    const auto nan_at = std::find(c.prompt.begin(), c.prompt.end(), kNan) - c.prompt.begin();
    if (c.poisoned && e.first_pos + accepted_rows > nan_at) {
      if (!scheduler_.poison(e.id)) {
        clients_.erase(e.id);
        ++failed;
      }
      return;
    }
    if (c.scoring) {
      const int32_t first = e.first_pos + e.n_rows - e.n_logits;
      const auto n = static_cast<int32_t>(c.prompt.size());
      if (c.scored < n - 1 && first != c.scored)
        return complain("a prompt position was not scored");
      c.scored = std::max(c.scored, std::min(e.first_pos + e.n_rows, n));
    }
    if (e.first_pos + accepted_rows < static_cast<int32_t>(history.size()))
      return scheduler_.advance(e.id, e.n_rows, true);
    take_tokens(plan, e, c, accepted_rows);
  }

  void take_tokens(const StepPlan& plan, const PlanEntry& e, Client& c, int32_t accepted_rows) {
    bool done = false;
    int32_t rows_kept = accepted_rows;
    for (int32_t d = 0;; ++d) {
      const TokenId token = next_token(c.state, day_.answer_length);
      scheduler_.append(e.id, token);
      c.output.push_back(token);
      c.state = mix64(c.state ^ static_cast<uint64_t>(token));
      done = token == kEnd || static_cast<int32_t>(c.output.size()) >= c.max_output;
      if (done || d >= e.n_draft ||
          plan.tokens[static_cast<size_t>(e.first_row + accepted_rows + d)] != token)
        break;
      ++rows_kept;
    }
    if (rows_kept > accepted_rows) ++adopted;
    scheduler_.advance(e.id, rows_kept, true);
    if (!done) return;
    if (c.scoring && c.scored < static_cast<int32_t>(c.prompt.size()) - 1)
      complain("the prompt was not scored to its end");
    if (c.output != alone(c)) complain("other tokens than alone");
    histories_.push_back(scheduler_.find(e.id)->tokens);
    scheduler_.remove(e.id);
    clients_.erase(e.id);
    ++finished;
  }

  std::vector<TokenId> alone(const Client& c) const {
    uint64_t state = 0;
    for (TokenId t : c.prompt) state = mix64(state ^ static_cast<uint64_t>(t));
    std::vector<TokenId> out;
    do {
      out.push_back(next_token(state, day_.answer_length));
      state = mix64(state ^ static_cast<uint64_t>(out.back()));
    } while (out.back() != kEnd && static_cast<int32_t>(out.size()) < c.max_output);
    return out;
  }

  std::string finish() {
    while (scheduler_.n_restoring() > 0) {
      cold_.tick();
      scheduler_.plan(now_ms_);
    }
    if (const auto wrong = scheduler_.check(); !wrong.empty()) return wrong;
    preempted = scheduler_.preemptions();
    if (scheduler_.pool().n_used() != scheduler_.cache().n_nodes()) return "a page leaked";
    if (scheduler_.cache().n_evictable() != scheduler_.cache().n_nodes()) return "a lock leaked";
    return {};
  }

  std::mt19937_64 rng_;
  Day day_;
  std::vector<int32_t> slots_;
  FakeCold cold_;
  Scheduler scheduler_;
  std::vector<std::vector<TokenId>> prefixes_, histories_;
  std::unordered_map<SequenceId, Client> clients_;
  double now_ms_ = 0;
  std::string wrong_;
};

TEST(SchedulerSimulation, InvariantsHoldOverManySeeds) {
#ifdef NDEBUG
  constexpr uint64_t kSeeds = 10000;
#else
  constexpr uint64_t kSeeds = 500;
#endif
  uint64_t rows = 0, preempted = 0, finished = 0, failed = 0, adopted = 0, restored = 0, longer = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    std::mt19937_64 rng(seed);
    const Day day = random_day(rng);
    Simulation simulation(seed, day);
    ASSERT_EQ(simulation.run(), "") << "seed " << seed;
    rows += simulation.rows;
    preempted += simulation.preempted;
    finished += simulation.finished;
    failed += simulation.failed;
    adopted += simulation.adopted;
    restored += simulation.restored();
    longer += day.context > day.options.n_pages * kPageTokens;
  }
  printf(
      "  rows %lu, finished %lu, failed %lu, preempted %lu, drafts that held %lu, restored %lu\n",
      rows, finished, failed, preempted, adopted, restored);
  // The days were not all sunny.
  EXPECT_GT(preempted, kSeeds / 10);
  EXPECT_GT(failed, kSeeds / 10);
  EXPECT_GT(restored, kSeeds / 10);
  EXPECT_GT(longer, kSeeds / 10);  // windows that let a sequence outgrow the memory
}

}  // namespace
}  // namespace xh
