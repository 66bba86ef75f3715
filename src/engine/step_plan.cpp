// Scheduler::plan(): which rows the next step computes.
#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "engine/scheduler.h"

namespace xh {
namespace {
constexpr int32_t kMinChunk = 8;  // prompts get on even when decoding alone fills the stall goal
constexpr uint64_t kOldestLeads = 4;
constexpr int32_t kBorderShare = 8;  // of a chunk, what may be left for the next one
// Prompts wait for each other if they are of like length, and not for more rows than these.
constexpr int32_t kTogetherRatio = 2;
constexpr int32_t kTogetherRows = 6144;
constexpr int32_t kWorthWaiting = 128;  // rows; fewer are soon computed beside the stream

StepShape shape_of(const StepPlan& plan) {
  StepShape out;
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const PlanEntry& e = plan.entries[i];
    out.add(e.first_pos, e.n_rows);
    if (i < plan.n_decodes) out.stream_rows += e.n_rows;
  }
  return out;
}
}  // namespace

StepPlan Scheduler::plan(double now_ms) {
  now_ms_ = now_ms;
  StepPlan plan;
  expire(plan);
  finish_restores();
  for (;;) {
    admit(plan);
    for (Sequence* seq : running_) adopt(*seq);
    plan_decodes(plan);
    plan_prompts(plan);
    if (!plan.empty() || running_.empty()) break;
    if (let_go()) continue;
    if (!restores_.empty()) break;  // they hold pages, for a moment
    // Every running prompt lacks pages that the others hold: the newest gives way. One that is
    // alone has them all but the pinned ones.
    if (running_.size() > 1) {
      preempt(*running_.back());
    } else {
      plan.stuck.push_back(running_.back()->id);
      remove(running_.back()->id);
    }
  }
  for (const PlanEntry& e : plan.entries) {
    const Sequence& seq = *find(e.id);
    plan.sequences.push_back({e.first_row, e.n_rows, e.first_pos, seq.pages});
  }
  plan.shape = shape_of(plan);
  return plan;
}

void Scheduler::expire(StepPlan& plan) {
  for (const auto& [id, seq] : sequences_)
    if (seq->spec.deadline_ms <= now_ms_) plan.expired.push_back(id);
  std::sort(plan.expired.begin(), plan.expired.end());
  for (SequenceId id : plan.expired) remove(id);
}

// Waiting lifts a request slowly over those of higher priority, so that none waits for ever.
int32_t Scheduler::level(const Sequence& seq) const {
  const double waited = seq.running ? 0 : now_ms_ - seq.queued_ms;
  return seq.spec.priority + static_cast<int32_t>(std::min(waited / options_.age_ms, 1e6));
}

Sequence* Scheduler::next_waiting() const {
  Sequence* best = nullptr;
  for (Sequence* seq : waiting_) {
    if (seq->waits_for != 0) continue;
    if (best == nullptr) {
      best = seq;
      continue;
    }
    const int32_t a = level(*seq), b = level(*best);
    if (a != b ? a > b : seq->tenant->service < best->tenant->service) best = seq;
  }
  return best;
}

void Scheduler::admit(StepPlan& plan) {
  bool yielded = false;
  for (;;) {
    Sequence* seq = next_waiting();
    if (seq == nullptr) return;
    const bool slot = static_cast<int32_t>(running_.size()) < options_.max_sequences;
    if (slot && begin_restore(*seq)) continue;
    // The first in line is never overtaken by one that needs fewer pages.
    if (slot && try_admit(*seq, plan)) continue;
    if (yielded || !yield_place(*seq)) return;
    yielded = true;  // one a step: what it gave up is cached, but not for ever
  }
}

// A tenant that has less than its share of the places, and has waited, takes one from the tenant
// that has the most above its share: the newest of those, unless it is of higher priority.
bool Scheduler::yield_place(const Sequence& seq) {
  if (now_ms_ - seq.queued_ms < options_.fair_wait_ms) return false;
  int32_t active = 0;
  const Tenant* most = nullptr;
  for (const auto& [name, tenant] : tenants_) {
    active += tenant->active > 0;
    if (most == nullptr || tenant->running > most->running) most = tenant.get();
  }
  const int32_t share = std::max(1, options_.max_sequences / active);
  if (seq.tenant->running >= share || most->running <= share) return false;
  for (size_t i = running_.size(); i-- > 0;)
    if (running_[i]->tenant == most && running_[i]->spec.priority <= seq.spec.priority) {
      preempt(*running_[i]);
      return true;
    }
  return false;
}

// Pages that the sequence will hold beyond those it has, until n_tokens are computed.
int64_t Scheduler::pages_to_come(const Sequence& seq, int32_t n_tokens) const {
  const auto n_pages = static_cast<int32_t>(seq.pages.size());
  return std::max(0, std::min(pages_for(n_tokens) - n_pages,
                              pages_held(n_tokens, options_.window, options_.max_batch_rows) -
                                  (n_pages - seq.passed)));
}

// Pages that running sequences still need for the tokens they have.
int64_t Scheduler::promised_pages() const {
  int64_t sum = 0;
  for (const Sequence* seq : running_) sum += pages_to_come(*seq, seq->n_tokens());
  return sum;
}

// Takes what the cache has of the prompt; succeeds if the rest will find pages, with one to spare
// for each running sequence so that admission does not cause a preemption at once.
bool Scheduler::try_admit(Sequence& seq, StepPlan& plan) {
  if (options_.prefix_cache && !seq.isolated) {
    seq.cursor = cache_.root(seq.spec.tenant);
    cache_.lock(seq.cursor);
  }
  adopt(seq);
  const int64_t need = pages_to_come(seq, seq.n_tokens() + 1);
  const int64_t spare = running_.empty() ? 0 : static_cast<int64_t>(running_.size()) + 1;
  const int64_t room = pool_.n_free() + cache_.n_evictable() - promised_pages();
  if (need + spare > room && !running_.empty()) {
    release(seq, false);
    return false;
  }
  std::erase(waiting_, &seq);
  running_.push_back(&seq);
  seq.running = true;
  seq.admission = next_admission_++;
  ++seq.tenant->running;

  // Part of a page may be known: copy it, and compute from there.
  if (seq.cursor != nullptr && !seq.spec.score_prompt) {
    const auto rest =
        std::span<const TokenId>(seq.tokens).subspan(static_cast<size_t>(seq.computed));
    const auto usable = std::min<size_t>(rest.size() - 1, kPageTokens);
    const auto part = cache_.longest_child(seq.cursor, rest.first(usable));
    if (part.n_tokens > 0 && cache_.page(part.node) != kNoPage) {
      // The page that is copied must not be the one evicted for the copy.
      cache_.lock(part.node, seq.depth);
      if (take_page(seq)) {
        plan.copies.push_back({seq.pages.back(), cache_.page(part.node), part.n_tokens});
        seq.computed += part.n_tokens;
        pass_pages(seq);
        seq.used_cached = true;
        if (cache_.take_restored(part.node) && !seq.was_running)
          seq.restored_tokens += part.n_tokens;
      }
      cache_.unlock(part.node, seq.depth);
    }
  }
  if (!seq.was_running) seq.cached_tokens = seq.computed;
  seq.was_running = true;
  return true;
}

// Takes pages from the tree that match what comes next: at admission, and later those that another
// sequence with the same prompt has computed meanwhile. At least one token stays to be computed.
void Scheduler::adopt(Sequence& seq) {
  if (seq.cursor == nullptr || seq.spec.score_prompt || seq.pending() <= 1) return;
  const auto all = std::span<const TokenId>(seq.tokens);
  const size_t from = page_start(seq.depth);
  for (auto* node : cache_.follow(seq.cursor, all.subspan(from, all.size() - 1 - from), seq.passed,
                                  options_.window)) {
    const auto at = static_cast<size_t>(seq.depth);
    const PageId page = cache_.page(node);
    if (page != kNoPage) pool_.add_ref(page);
    if (at < seq.pages.size()) {  // partly computed by us: theirs is further
      pool_.release(seq.pages[at]);
      seq.pages[at] = page;
    } else {
      seq.pages.push_back(page);
    }
    cache_.descend(seq.cursor, node);
    ++seq.depth;
    if (cache_.take_restored(node) && !seq.restarted) seq.restored_tokens += kPageTokens;
    const int32_t reached = seq.depth * kPageTokens;
    if (reached > seq.computed) {
      if (seq.was_running && !seq.restarted) seq.cached_tokens += reached - seq.computed;
      seq.computed = reached;
    }
    seq.used_cached = true;
  }
  pass_pages(seq);
}

// One more page for the sequence, evicting cached prefixes if need be.
bool Scheduler::take_page(Sequence& seq) {
  auto page = pool_.take();
  if (!page && cache_.evict_one()) page = pool_.take();
  if (!page) return false;
  seq.pages.push_back(*page);
  return true;
}

// Preempts the newest of the lowest priority. False when that is `seq` itself; alone, it stays.
bool Scheduler::make_room(const Sequence& seq) {
  if (running_.size() == 1) return false;
  Sequence* victim = running_.front();
  for (Sequence* other : running_)
    if (other->spec.priority <= victim->spec.priority) victim = other;
  const bool others = victim != &seq;
  preempt(*victim);
  return others;
}

// One row for each sequence that decodes, most senior first: whoever is preempted to make room for
// a row is always one that has none yet. Guesses use rows and free pages that nobody else needs.
void Scheduler::plan_decodes(StepPlan& plan) {
  std::vector<SequenceId> order;
  for (const Sequence* seq : running_)
    if (seq->pending() == 1 && !seq->held) order.push_back(seq->id);
  std::stable_sort(order.begin(), order.end(), [&](SequenceId a, SequenceId b) {
    return find(a)->spec.priority > find(b)->spec.priority;
  });
  int32_t guesses = options_.max_draft_rows;
  for (size_t i = 0; i < order.size(); ++i) {
    Sequence& seq = get(order[i]);
    bool ready = seq.running;  // false: preempted for one before it
    while (ready && static_cast<int32_t>(seq.pages.size()) < pages_for(seq.n_tokens()))
      ready = take_page(seq) || make_room(seq);
    if (!ready) continue;
    const auto rows_left = options_.max_batch_rows - static_cast<int32_t>(plan.tokens.size()) -
                           static_cast<int32_t>(order.size() - i);
    fit_draft(seq, std::min(guesses, rows_left));
    guesses -= static_cast<int32_t>(seq.draft.size());
    add_rows(seq, 1, plan);
  }
}

// Shortens the draft to what there is room for.
void Scheduler::fit_draft(Sequence& seq, int32_t most) {
  auto n = std::clamp(most, 0, static_cast<int32_t>(seq.draft.size()));
  while (static_cast<int32_t>(seq.pages.size()) < pages_for(seq.n_tokens() + n)) {
    if (pool_.n_free() > 0)
      take_page(seq);
    else
      n = static_cast<int32_t>(seq.pages.size()) * kPageTokens - seq.n_tokens();
  }
  seq.draft.resize(static_cast<size_t>(n));
}

// How many rows of the sequence's prompt fit this step. While streams are decoding, the stall goal
// limits them; the first chunk gets a few rows in any case.
int32_t Scheduler::chunk_limit(const Sequence& seq, const StepPlan& plan, bool decoding,
                               bool first) const {
  const auto used = static_cast<int32_t>(plan.tokens.size());
  int32_t rows = std::min(seq.pending(), options_.max_batch_rows - used);
  if (seq.scores()) {
    rows = std::min(rows, std::max(options_.max_scored_rows - plan.scored_rows, 1));
  }
  if (rows <= 0) return 0;
  if (decoding) {
    const StepShape so_far = shape_of(plan);
    const int32_t least = first ? std::min(rows, kMinChunk) : 0;
    rows = std::max(least, cost_.rows_within(options_.stall_ms, so_far, seq.computed, rows));
  }
  // End on a page border where that costs little: full pages can be shared at once.
  const int32_t over = (seq.computed + rows) % kPageTokens;
  if (rows < seq.pending() && over * kBorderShare <= rows) rows -= over;
  return rows;
}

// Higher priority first, then the least served tenant, then the shortest; but every few steps the
// oldest leads, so that none starves.
std::vector<Sequence*> Scheduler::prompt_order() {
  std::vector<Sequence*> order;
  for (Sequence* seq : running_)
    if (seq->pending() > 1 || seq->held) order.push_back(seq);
  if (order.empty()) return order;
  Sequence* oldest = order.front();
  std::stable_sort(order.begin(), order.end(), [](const Sequence* a, const Sequence* b) {
    if (a->spec.priority != b->spec.priority) return a->spec.priority > b->spec.priority;
    if (a->tenant->service != b->tenant->service) return a->tenant->service < b->tenant->service;
    return a->pending() < b->pending();
  });
  if (++prompt_steps_ % kOldestLeads == 0) {
    auto place = std::find(order.begin(), order.end(), oldest);
    std::rotate(order.begin(), place, place + 1);
  }
  return order;
}

// Whether these may wait for each other. Nobody waits for a longer prompt, nor for a tenant that
// has more of them than its own.
bool Scheduler::are_alike(const std::vector<const Sequence*>& prompts) const {
  std::map<const Tenant*, int32_t> shares;
  const Sequence* shortest = nullptr;
  for (const Sequence* seq : prompts) {
    if (seq->spec.score_prompt || seq->n_tokens() > seq->n_prompt) return false;
    if (shortest == nullptr || seq->n_prompt < shortest->n_prompt) shortest = seq;
    ++shares[seq->tenant];
  }
  return std::ranges::all_of(prompts, [&](const Sequence* seq) {
    return seq->spec.priority == shortest->spec.priority &&
           seq->n_prompt <= kTogetherRatio * shortest->n_prompt &&
           shares[seq->tenant] == shares[shortest->tenant];
  });
}

// Whether the prompts of this step wait for each other with their last rows.
bool Scheduler::hold_together(const std::vector<Sequence*>& prompts) const {
  int64_t rows = 0;
  for (const Sequence* seq : prompts) rows += seq->pending();
  return rows > options_.max_batch_rows && held_rows_ + rows <= kTogetherRows &&
         are_alike({prompts.begin(), prompts.end()});
}

bool Scheduler::hold_back(const StepPlan& plan) {
  if (plan.logit_rows.empty()) return false;  // none is ready
  std::vector<const Sequence*> prompts;
  int64_t rest = 0;  // rows to compute after this step
  for (const PlanEntry& e : plan.entries) {
    if (e.first_pos + 1 >= find(e.id)->n_prompt) return false;  // it decodes, or has waited
    rest -= e.n_rows;
  }
  for (const Sequence* seq : running_) prompts.push_back(seq);
  for (const Sequence* seq : waiting_)
    if (static_cast<int32_t>(prompts.size()) < options_.max_sequences) prompts.push_back(seq);
  for (const Sequence* seq : prompts) rest += seq->pending();
  if (rest < kWorthWaiting || held_rows_ + rest > kTogetherRows || !are_alike(prompts))
    return false;
  held_rows_ += static_cast<int32_t>(plan.tokens.size());
  return true;
}

void Scheduler::hold(SequenceId id, int32_t n_rows) {
  advance(id, n_rows - 1, false);
  get(id).held = true;
}

// Those that waited go on. False: there were none.
bool Scheduler::let_go() {
  bool any = false;
  for (Sequence* seq : running_) any |= std::exchange(seq->held, false);
  held_rows_ = 0;
  return any;
}

void Scheduler::plan_prompts(StepPlan& plan) {
  const bool decoding = !plan.empty();
  plan.n_decodes = plan.entries.size();
  // Pages that this step computes, by their place in the tree: others wait for them.
  std::vector<std::pair<const PrefixCache::Node*, std::span<const TokenId>>> claimed;
  const auto order = prompt_order();
  const bool together = !decoding && order.size() > 1 && hold_together(order);
  if (!together) let_go();
  for (Sequence* seq : order) {
    const auto from = static_cast<size_t>(seq->depth * kPageTokens);
    std::span<const TokenId> next;
    if (seq->cursor != nullptr && from + kPageTokens <= seq->tokens.size())
      next = std::span<const TokenId>(seq->tokens).subspan(from, kPageTokens);
    const bool may_adopt = from + kPageTokens < seq->tokens.size() && !seq->spec.score_prompt;
    if (!next.empty() && may_adopt && std::ranges::any_of(claimed, [&](const auto& c) {
          return c.first == seq->cursor && std::ranges::equal(c.second, next);
        }))
      continue;
    int32_t rows = chunk_limit(*seq, plan, decoding, plan.entries.size() == plan.n_decodes);
    if (seq->pending() == 1) seq->draft.clear();  // it was held, and does not decode yet
    if (together && rows == seq->pending()) {
      seq->held = true;
      --rows;
    }
    while (rows > 0 && static_cast<int32_t>(seq->pages.size()) < pages_for(seq->computed + rows))
      if (!take_page(*seq))
        rows = static_cast<int32_t>(seq->pages.size()) * kPageTokens - seq->computed;
    if (rows <= 0) continue;
    add_rows(*seq, rows, plan);
    if (together) held_rows_ += rows;
    if (!next.empty()) claimed.emplace_back(seq->cursor, next);
  }
}

void Scheduler::add_rows(Sequence& seq, int32_t n_rows, StepPlan& plan) {
  PlanEntry e;
  e.id = seq.id;
  e.first_row = static_cast<int32_t>(plan.tokens.size());
  e.first_pos = seq.computed;
  e.first_logit = static_cast<int32_t>(plan.logit_rows.size());
  e.n_draft = seq.pending() == 1 && !seq.scores() ? static_cast<int32_t>(seq.draft.size()) : 0;
  e.n_rows = n_rows + e.n_draft;
  const auto begin = seq.tokens.begin() + seq.computed;
  plan.tokens.insert(plan.tokens.end(), begin, begin + n_rows);
  plan.tokens.insert(plan.tokens.end(), seq.draft.begin(), seq.draft.begin() + e.n_draft);
  if (seq.scores()) {
    e.n_logits = std::clamp(seq.computed + n_rows - seq.scored, 0, n_rows);
    plan.scored_rows += e.n_logits;
  } else if (n_rows == seq.pending()) {
    e.n_logits = 1 + e.n_draft;
  }
  for (int32_t i = e.n_logits; i > 0; --i) plan.logit_rows.push_back(e.first_row + e.n_rows - i);
  plan.entries.push_back(e);
}

}  // namespace xh
