// The part of Scheduler that moves prefixes between memory and what lies behind ColdPages.
#include <algorithm>

#include "base/check.h"
#include "engine/scheduler.h"

namespace xh {
namespace {
constexpr size_t kMaxRestores = 8;  // at once; more would only take each other's pages
}  // namespace

// Looks, once per stay in the queue, whether more of the prompt could be brought back than memory
// has. True: it can, and the sequence waits for that.
bool Scheduler::begin_restore(Sequence& seq) {
  if (cold_ == nullptr || !options_.prefix_cache || seq.isolated || seq.spec.score_prompt ||
      seq.asked_cold || restores_.size() >= kMaxRestores)
    return false;
  const auto all = std::span<const TokenId>(seq.tokens);
  auto* at = cache_.root(seq.spec.tenant);
  cache_.lock(at);
  const auto page_at = [&](int32_t i) {
    return all.subspan(static_cast<size_t>(i) * kPageTokens, kPageTokens);
  };
  const auto path = cache_.follow(at, all.first(all.size() - 1), 0, options_.window);
  for (auto* next : path) cache_.descend(at, next);
  const auto depth = static_cast<int32_t>(path.size());
  if ((depth + 1) * kPageTokens <= seq.n_tokens())
    for (const Restore& r : restores_)
      if (r.at == at &&
          std::ranges::equal(std::span(r.tokens).first(kPageTokens), page_at(depth))) {
        seq.waits_for = r.id;  // then it will look again
        cache_.unlock(at);
        return true;
      }
  seq.asked_cold = true;
  // The last token stays to be computed.
  const auto found = cold_->find(seq.spec.tenant, all.first(all.size() - 1), depth);
  if (found.n_pages() > 0 && worth_fetching(found, at, all.subspan(page_start(depth))) &&
      fetch(seq, found, at))
    return true;
  cache_.unlock(at);
  return false;
}

// A single page that matches in part may be in memory as well.
bool Scheduler::worth_fetching(const ColdPages::Found& found, PrefixCache::Node* at,
                               std::span<const TokenId> rest) const {
  if (found.n_pages() > 1) return true;
  const auto [a, b] = std::ranges::mismatch(rest, found.tokens);
  const auto usable = rest.first(std::min<size_t>(rest.size() - 1, kPageTokens));
  const auto there = cache_.longest_child(at, usable);
  return there.n_tokens < static_cast<int32_t>(a - rest.begin()) ||
         cache_.page(there.node) == kNoPage;
}

bool Scheduler::fetch(Sequence& seq, const ColdPages::Found& found, PrefixCache::Node* at) {
  const int64_t spare = running_.empty() ? 0 : static_cast<int64_t>(running_.size()) + 1;
  const int64_t room = pool_.n_free() + cache_.n_evictable() - promised_pages() - spare;
  std::vector<PageId> pages;
  while (static_cast<int64_t>(pages.size()) < std::min<int64_t>(room, found.n_pages())) {
    auto page = pool_.take();
    if (!page && cache_.evict_one()) page = pool_.take();
    if (!page) break;
    pages.push_back(*page);
  }
  if (pages.empty()) return false;
  seq.waits_for = next_fetch_++;
  restores_.push_back({seq.waits_for, at, found.tokens, pages});
  cold_->fetch(seq.waits_for, found, std::move(pages));
  return true;
}

// What has come back enters the tree; who waited for it goes on.
void Scheduler::finish_restores() {
  if (cold_ == nullptr || restores_.empty()) return;
  for (const auto& [id, n_pages] : cold_->take_fetched()) {
    const auto it = std::ranges::find(restores_, id, &Restore::id);
    XH_CHECK(it != restores_.end());
    for (size_t i = 0; it->at != nullptr && i < static_cast<size_t>(n_pages); ++i) {
      auto* node = cache_.insert(
          it->at, std::span(it->tokens).subspan(i * kPageTokens, kPageTokens), it->pages[i]);
      if (cache_.page(node) == it->pages[i]) cache_.set_restored(node);
      cache_.descend(it->at, node);
    }
    if (it->at != nullptr) cache_.unlock(it->at);
    for (PageId page : it->pages) pool_.release(page);
    restores_.erase(it);
    for (Sequence* seq : waiting_)
      if (seq->waits_for == id) seq->waits_for = 0;
  }
}

// Offers the full pages of a path whose results were checked.
void Scheduler::keep(const Sequence& seq) {
  if (cold_ == nullptr || seq.cursor == nullptr || seq.depth == 0 ||
      cache_.first_unverified(seq.cursor) != nullptr)
    return;
  const auto pages = cache_.pages_before_gap(seq.cursor);
  if (pages.empty()) return;
  cold_->keep(seq.spec.tenant, std::span(seq.tokens).first(pages.size() * kPageTokens), pages,
              false);
}

void Scheduler::keep_everything() {
  if (cold_ == nullptr) return;
  cache_.for_each_path(
      [this](const std::string& tenant, std::span<const TokenId> tokens,
             std::span<const PageId> pages) { cold_->keep(tenant, tokens, pages, true); });
}

}  // namespace xh
