// Decides what the next forward pass computes. A pure object: no threads, no model, no clock of its
// own, so a simulation can drive it through millions of steps.
//
// Each step is one batch. Every decoding sequence gets a row (plus its draft tokens); what room is
// left goes to prompts in chunks, as many rows as keep the step within the stall goal. Prompts of
// the least served tenant go first, short ones before long ones, and the oldest always gets a
// share. Prompts that arrive together while nobody decodes are computed together: each waits with
// its last row for the others, because once one of them decodes the stall goal leaves the rest a
// fraction of the machine. A prompt whose next page is being computed by another sequence in this
// step waits and adopts that page: the same prefix is never computed twice.
//
// A prompt whose beginning lies on disk waits in the queue while that is brought back, beside the
// steps of the others.
//
// Where every layer of the model has a window, a sequence gives back the pages that its window has
// passed; the prefix tree keeps them as long as there is room.
//
// When pages run out, cached prefixes are evicted; then the newest sequence of the lowest priority
// is preempted: its full pages stay in the cache as long as there is room, and it is computed again
// later from its tokens. The oldest always proceeds, so work always ends.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "compute/compute.h"
#include "engine/cold_pages.h"
#include "engine/page_pool.h"
#include "engine/prefix_cache.h"
#include "engine/sequence.h"
#include "engine/step_cost.h"

namespace xh {

struct SchedulerOptions {
  int32_t n_pages = 0;
  int32_t max_batch_rows = 512;
  int32_t max_sequences = 64;
  int32_t max_waiting = 1024;
  int32_t max_scored_rows = 64;  // logits rows per step for prompt scoring
  int32_t max_draft_rows = 64;   // guesses per step, over all sequences
  double stall_ms = 100;         // how long one step may keep running streams waiting
  double age_ms = 5000;          // waiting this long counts as one level of priority
  double fair_wait_ms = 200;     // then a tenant below its share of places is given one
  int32_t window = 0;            // the model's: pages behind it are given back; 0: none
  bool prefix_cache = true;
  PrefixObserver* prefix_observer = nullptr;  // outlives the scheduler
};

struct PageCopy {
  PageId dst, src;
  int32_t n_tokens;
};

// Rows of one sequence in a step. Logits are wanted for its last n_logits rows.
struct PlanEntry {
  SequenceId id = 0;
  int32_t first_row = 0;
  int32_t n_rows = 0;
  int32_t first_pos = 0;
  int32_t first_logit = 0;  // index into StepPlan::logit_rows
  int32_t n_logits = 0;
  int32_t n_draft = 0;  // of the rows, the last: guesses
};

// Copies come first, in order, then the batch. Spans point into the scheduler's sequences and are
// valid until its next change.
struct StepPlan {
  std::vector<PageCopy> copies;
  std::vector<PlanEntry> entries;
  std::vector<int32_t> tokens;
  std::vector<SequenceRows> sequences;
  std::vector<int32_t> logit_rows;
  size_t n_decodes = 0;             // of the entries, the first: sequences that decode
  std::vector<SequenceId> expired;  // past their deadline; no longer known to the scheduler
  std::vector<SequenceId> stuck;    // too long beside the pinned pages; no longer known either
  StepShape shape;                  // what it is expected to cost
  int32_t scored_rows = 0;          // logits for the prompts' own tokens

  bool empty() const { return entries.empty(); }
};

class Scheduler {
 public:
  // `cold` may be null; it must outlive the scheduler.
  explicit Scheduler(const SchedulerOptions& options, ColdPages* cold = nullptr);
  ~Scheduler();

  // kUnavailable when the queue is full. Whether the tokens fit the context is the caller's check:
  // what prompt and output together hold at once (pages_held) must fit n_pages. Where pinned pages
  // leave too few, plan() gives it up.
  Result<SequenceId> add(SequenceSpec spec, double now_ms);
  // Forgets the sequence at once; its full pages stay in the cache.
  void remove(SequenceId id);
  // Guesses for the tokens that follow; used in the next step if there is room. Only for a
  // sequence that decodes; guesses and tokens together must fit the context.
  void set_draft(SequenceId id, std::vector<TokenId> draft);

  StepPlan plan(double now_ms);
  // After the forward pass, for each entry: either advance() with the rows that count (without
  // rejected guesses), accepted tokens appended first; or poison(). `checked`: logits of this
  // sequence were seen and finite.
  void append(SequenceId id, TokenId token);
  void advance(SequenceId id, int32_t n_rows, bool checked);
  // Asked after the forward pass: whether the prompts that it has finished should wait for others
  // that came meanwhile. Then, instead of advance(), hold() for each of them: its last row is
  // computed once more, with theirs.
  bool hold_back(const StepPlan& plan);
  void hold(SequenceId id, int32_t n_rows);
  // Logits were not finite. True: cached pages may be to blame, the sequence starts over without
  // them. False: it is removed and has failed.
  bool poison(SequenceId id);
  // How long the step should take, going by those before it.
  double expected_ms(const StepPlan& plan) const { return cost_.predict(plan.shape); }
  // How long it took, for the chunk sizes to come.
  void step_took(const StepPlan& plan, double ms);

  // The prompt of this sequence, which is computed, becomes a prefix of every tenant that is never
  // evicted. False without a prefix cache.
  bool pin(SequenceId id);
  // Offers every checked path in memory to `cold`, the most recently used first: for the end.
  void keep_everything();

  const Sequence* find(SequenceId id) const;
  int32_t n_waiting() const { return static_cast<int32_t>(waiting_.size()); }
  int32_t n_running() const { return static_cast<int32_t>(running_.size()); }
  int32_t n_restoring() const { return static_cast<int32_t>(restores_.size()); }
  uint64_t preemptions() const { return preemptions_; }
  const PagePool& pool() const { return pool_; }
  const PrefixCache& cache() const { return cache_; }
  const SchedulerOptions& options() const { return options_; }
  // Every invariant that can be checked from inside; an empty string when all hold.
  std::string check() const;

 private:
  // scheduler.cpp: sequences come, go, and hold pages
  Sequence& get(SequenceId id);
  Tenant& enter_tenant(const std::string& name);
  void leave_tenant(Sequence& seq);
  void enqueue(Sequence& seq);
  void release(Sequence& seq, bool keep_tail);
  void preempt(Sequence& seq);
  void publish(Sequence& seq);
  void pass_pages(Sequence& seq);
  void purge(PrefixCache::Node* node);
  void purge_path(const Sequence& seq);
  std::string check_pages() const;

  // cold_restore.cpp: prefixes come back and are kept
  struct Restore {
    FetchId id = 0;
    PrefixCache::Node* at = nullptr;  // locked; the pages follow it. Null: it was removed
    std::vector<TokenId> tokens;
    std::vector<PageId> pages;  // ours until they enter the tree
  };
  bool begin_restore(Sequence& seq);
  bool worth_fetching(const ColdPages::Found& found, PrefixCache::Node* at,
                      std::span<const TokenId> rest) const;
  bool fetch(Sequence& seq, const ColdPages::Found& found, PrefixCache::Node* at);
  void finish_restores();
  void keep(const Sequence& seq);

  // step_plan.cpp: what the next step does
  int32_t level(const Sequence& seq) const;
  void expire(StepPlan& plan);
  void admit(StepPlan& plan);
  bool try_admit(Sequence& seq, StepPlan& plan);
  bool yield_place(const Sequence& seq);
  Sequence* next_waiting() const;
  void adopt(Sequence& seq);
  int64_t pages_to_come(const Sequence& seq, int32_t n_tokens) const;
  int64_t promised_pages() const;
  bool take_page(Sequence& seq);
  bool make_room(const Sequence& seq);
  void plan_decodes(StepPlan& plan);
  void fit_draft(Sequence& seq, int32_t most);
  void plan_prompts(StepPlan& plan);
  bool are_alike(const std::vector<const Sequence*>& prompts) const;
  bool hold_together(const std::vector<Sequence*>& prompts) const;
  bool let_go();
  int32_t chunk_limit(const Sequence& seq, const StepPlan& plan, bool decoding, bool first) const;
  std::vector<Sequence*> prompt_order();
  void add_rows(Sequence& seq, int32_t n_rows, StepPlan& plan);

  SchedulerOptions options_;
  ColdPages* cold_;
  PagePool pool_;
  PrefixCache cache_;
  StepCost cost_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> running_;  // in order of admission
  std::vector<Sequence*> waiting_;  // in order of arrival
  std::map<std::string, std::unique_ptr<Tenant>> tenants_;
  std::vector<Restore> restores_;
  FetchId next_fetch_ = 1;
  SequenceId next_id_ = 1;
  uint64_t next_admission_ = 1;
  uint64_t preemptions_ = 0;
  uint64_t prompt_steps_ = 0;
  int32_t held_rows_ = 0;  // computed while prompts have been waiting for each other
  double now_ms_ = 0;
};

}  // namespace xh
