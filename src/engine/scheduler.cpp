#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace xh {
namespace {
// A decoded row reads all weights for few columns, a prompt row shares them with its chunk: about
// the ratio of their costs.
constexpr double kDecodeService = 4;
constexpr double kPromptService = 1;
constexpr size_t kMaxIdleTenants = 4096;
}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, ColdPages* cold)
    : options_(options),
      cold_(cold),
      pool_(options.n_pages),
      cache_(pool_, options.prefix_observer, cold) {}

Scheduler::~Scheduler() = default;

Result<SequenceId> Scheduler::add(SequenceSpec spec, double now_ms) {
  XH_CHECK(!spec.prompt.empty());
  if (n_waiting() >= options_.max_waiting)
    return fail(ErrorCode::kUnavailable,
                std::to_string(n_waiting()) + " requests are waiting already", "queue",
                "try again later");
  now_ms_ = now_ms;
  auto owned = std::make_unique<Sequence>();
  Sequence& seq = *owned;
  seq.id = next_id_++;
  seq.tokens = std::move(spec.prompt);
  seq.n_prompt = seq.n_tokens();
  seq.spec = std::move(spec);
  seq.tenant = &enter_tenant(seq.spec.tenant);
  sequences_.emplace(seq.id, std::move(owned));
  enqueue(seq);
  return seq.id;
}

void Scheduler::remove(SequenceId id) {
  Sequence& seq = get(id);
  release(seq, true);
  std::erase(running_, &seq);
  std::erase(waiting_, &seq);
  leave_tenant(seq);
  sequences_.erase(id);
}

void Scheduler::set_draft(SequenceId id, std::vector<TokenId> draft) {
  get(id).draft = std::move(draft);
}

void Scheduler::append(SequenceId id, TokenId token) {
  get(id).tokens.push_back(token);
}

void Scheduler::advance(SequenceId id, int32_t n_rows, bool checked) {
  Sequence& seq = get(id);
  XH_CHECK(n_rows > 0 && seq.computed + n_rows <= seq.n_tokens());
  const bool decoding = seq.computed >= seq.n_prompt;
  seq.tenant->service += (decoding ? kDecodeService : kPromptService) * n_rows;
  seq.computed += n_rows;
  seq.scored = std::max(seq.scored, std::min(seq.computed, seq.n_prompt));
  seq.draft.clear();
  publish(seq);
  pass_pages(seq);
  if (!checked) return;
  if (seq.cursor != nullptr) cache_.mark_verified(seq.cursor);
  if (!decoding && seq.computed >= seq.n_prompt) keep(seq);  // a long answer may never end
  if (seq.isolated) {
    // Alone it went well, so what it had shared was damaged: nobody may use that again.
    seq.isolated = false;
    purge_path(seq);
  }
}

bool Scheduler::poison(SequenceId id) {
  Sequence& seq = get(id);
  const bool retry = seq.used_cached && !seq.isolated;
  // What it computed itself and nobody has checked yet leaves the cache in either case.
  if (seq.cursor != nullptr)
    if (auto* node = cache_.first_unverified(seq.cursor)) {
      auto* parent = cache_.parent(node);
      // Our own lock moves up to the part that stays.
      cache_.lock(parent, seq.passed);
      cache_.unlock(seq.cursor, seq.passed);
      seq.cursor = parent;
      purge(node);
    }
  if (!retry) {
    release(seq, false);
    std::erase(running_, &seq);
    leave_tenant(seq);
    sequences_.erase(id);
    return false;
  }
  release(seq, false);
  seq.isolated = true;
  std::erase(running_, &seq);
  enqueue(seq);
  return true;
}

bool Scheduler::pin(SequenceId id) {
  const Sequence& seq = get(id);
  if (seq.cursor == nullptr || seq.computed < seq.n_prompt) return false;
  cache_.pin(seq.spec.tenant, std::span(seq.tokens).first(static_cast<size_t>(seq.n_prompt)),
             std::span(seq.pages).first(static_cast<size_t>(pages_for(seq.n_prompt))));
  return true;
}

void Scheduler::step_took(const StepPlan& plan, double ms) {
  cost_.observe(plan.shape, ms);
}

const Sequence* Scheduler::find(SequenceId id) const {
  auto it = sequences_.find(id);
  return it == sequences_.end() ? nullptr : it->second.get();
}

Sequence& Scheduler::get(SequenceId id) {
  auto it = sequences_.find(id);
  XH_CHECK(it != sequences_.end());
  return *it->second;
}

// A tenant that comes (back) starts level with the least served active one: idling earns no credit.
Tenant& Scheduler::enter_tenant(const std::string& name) {
  if (tenants_.size() > kMaxIdleTenants)
    std::erase_if(tenants_, [](const auto& item) { return item.second->active == 0; });
  auto& slot = tenants_[name];
  if (!slot) slot = std::make_unique<Tenant>();
  if (slot->active++ == 0) {
    double least = kNever;
    for (const auto& [other, tenant] : tenants_)
      if (tenant->active > 0 && tenant != slot) least = std::min(least, tenant->service);
    if (least != kNever) slot->service = std::max(slot->service, least);
  }
  return *slot;
}

void Scheduler::leave_tenant(Sequence& seq) {
  --seq.tenant->active;
  if (seq.running) --seq.tenant->running;
  seq.running = false;
}

void Scheduler::enqueue(Sequence& seq) {
  if (seq.running) --seq.tenant->running;
  seq.running = false;
  seq.queued_ms = now_ms_;
  seq.asked_cold = false;
  seq.waits_for = 0;
  auto place = std::lower_bound(waiting_.begin(), waiting_.end(), &seq,
                                [](const Sequence* a, const Sequence* b) { return a->id < b->id; });
  waiting_.insert(place, &seq);
}

// Gives back every page. With keep_tail the last, partly filled one is offered to the cache.
void Scheduler::release(Sequence& seq, bool keep_tail) {
  if (seq.cursor != nullptr) {
    if (keep_tail) keep(seq);
    const int32_t from = seq.depth * kPageTokens;
    if (keep_tail && seq.computed > from) {
      const auto all = std::span<const TokenId>(seq.tokens);
      cache_.insert(
          seq.cursor,
          all.subspan(static_cast<size_t>(from), static_cast<size_t>(seq.computed - from)),
          seq.pages[static_cast<size_t>(seq.depth)]);
    }
    cache_.unlock(seq.cursor, seq.passed);
  }
  for (PageId page : seq.pages)
    if (page != kNoPage) pool_.release(page);
  seq.pages.clear();
  seq.passed = 0;
  seq.cursor = nullptr;
  seq.depth = 0;
  seq.computed = 0;
  seq.draft.clear();
  seq.held = false;
  seq.used_cached = false;
  if (seq.was_running) seq.restarted = true;
}

void Scheduler::preempt(Sequence& seq) {
  release(seq, true);
  std::erase(running_, &seq);
  enqueue(seq);
  ++preemptions_;
}

// Full pages enter the tree as soon as they are computed. Where another sequence was first with the
// same tokens, ours is dropped for the one that is there.
void Scheduler::publish(Sequence& seq) {
  if (seq.cursor == nullptr) return;
  while ((seq.depth + 1) * kPageTokens <= seq.computed) {
    const auto all = std::span<const TokenId>(seq.tokens);
    PageId& own = seq.pages[static_cast<size_t>(seq.depth)];
    auto* node = cache_.insert(
        seq.cursor, all.subspan(static_cast<size_t>(seq.depth * kPageTokens), kPageTokens), own);
    if (const PageId there = cache_.page(node); there != own) {
      pool_.add_ref(there);
      pool_.release(own);
      own = there;
      seq.used_cached = true;
    }
    cache_.descend(seq.cursor, node);
    ++seq.depth;
  }
}

// Gives back the pages that no row to come sees.
void Scheduler::pass_pages(Sequence& seq) {
  const int32_t first = first_seen_page(seq.computed, options_.window);
  for (; seq.passed < first; ++seq.passed) {
    PageId& page = seq.pages[static_cast<size_t>(seq.passed)];
    if (page != kNoPage) pool_.release(page);
    page = kNoPage;
    if (seq.cursor != nullptr) cache_.pass(seq.cursor, seq.passed);
  }
}

// Removes a subtree whose pages cannot be trusted; sequences that use them start over.
void Scheduler::purge(PrefixCache::Node* node) {
  const auto running = running_;
  for (Sequence* seq : running)
    if (seq->cursor != nullptr && cache_.is_below(seq->cursor, node)) {
      release(*seq, false);
      std::erase(running_, seq);
      enqueue(*seq);
      ++preemptions_;
    }
  for (Restore& r : restores_)
    if (r.at != nullptr && cache_.is_below(r.at, node)) cache_.unlock(std::exchange(r.at, nullptr));
  cache_.remove(node);
}

void Scheduler::purge_path(const Sequence& seq) {
  if (seq.cursor != nullptr || !options_.prefix_cache || seq.n_tokens() < 1) return;
  if (cold_ != nullptr) cold_->forget(seq.spec.tenant, seq.tokens);
  auto* root = cache_.root(seq.spec.tenant);
  cache_.lock(root);
  const auto tokens = std::span<const TokenId>(seq.tokens);
  auto top = cache_.longest_child(root, tokens.first(std::min<size_t>(tokens.size(), kPageTokens)));
  if (top.node != nullptr) purge(top.node);
  cache_.unlock(root);
}

std::string Scheduler::check() const {
  std::string wrong = check_pages();
  if (!wrong.empty()) return wrong;
  if (static_cast<int32_t>(running_.size()) > options_.max_sequences) return "too many running";
  if (running_.size() + waiting_.size() != sequences_.size()) return "a sequence is nowhere";
  for (const auto& [name, tenant] : tenants_) {
    int32_t active = 0, running = 0;
    for (const auto& [id, seq] : sequences_)
      if (seq->tenant == tenant.get()) ++active, running += seq->running;
    if (active != tenant->active || running != tenant->running) return "tenant counts are wrong";
  }
  return {};
}

// Each page's references are exactly those of the sequences and of the tree.
std::string Scheduler::check_pages() const {
  std::vector<int32_t> refs(static_cast<size_t>(pool_.n_pages()), 0);
  for (const auto& [id, seq] : sequences_) {
    for (size_t i = 0; i < seq->pages.size(); ++i) {
      const PageId page = seq->pages[i];
      if ((page == kNoPage) != (i < static_cast<size_t>(seq->passed)))
        return "a page is gone that is seen, or held that is not";
      if (page != kNoPage) ++refs[static_cast<size_t>(page)];
    }
    if (seq->passed != first_seen_page(seq->computed, options_.window))
      return "pages behind the window are wrong";
    if (!seq->running && !seq->pages.empty()) return "a waiting sequence holds pages";
    if (seq->computed > static_cast<int32_t>(seq->pages.size()) * kPageTokens)
      return "computed tokens without a page";
    if (seq->computed >= seq->n_tokens()) return "nothing is pending";
  }
  for (PageId page : cache_.pages()) ++refs[static_cast<size_t>(page)];
  for (const Restore& r : restores_)
    for (PageId page : r.pages) ++refs[static_cast<size_t>(page)];
  int32_t used = 0;
  for (PageId page = 0; page < pool_.n_pages(); ++page) {
    if (refs[static_cast<size_t>(page)] != pool_.refs(page))
      return "page " + std::to_string(page) + " has " + std::to_string(pool_.refs(page)) +
             " references, " + std::to_string(refs[static_cast<size_t>(page)]) + " owners";
    used += refs[static_cast<size_t>(page)] > 0;
  }
  if (used != pool_.n_used()) return "the free list is wrong";
  if (static_cast<int32_t>(cache_.pages().size()) != cache_.n_nodes()) return "node count is wrong";
  return {};
}

}  // namespace xh
