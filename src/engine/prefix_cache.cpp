#include "engine/prefix_cache.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/check.h"
#include "engine/page_math.h"

namespace xh {
namespace {

using Key = std::vector<TokenId>;

struct Lexicographic {
  using is_transparent = void;
  using Span = std::span<const TokenId>;
  bool operator()(Span a, Span b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  }
};

int32_t common_beginning(std::span<const TokenId> a, std::span<const TokenId> b) {
  const size_t n = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < n && a[i] == b[i]) ++i;
  return static_cast<int32_t>(i);
}

}  // namespace

struct PrefixCache::Node {
  Node* parent = nullptr;
  const Key* key = nullptr;  // this node's tokens: the key under which the parent holds it
  std::map<Key, std::unique_ptr<Node>, Lexicographic> children;
  PageId page = kNoPage;   // kNoPage: a root, or hollow
  int32_t index = -1;      // of its page in the path; -1: a root
  uint64_t block = 0;      // its number for the observer; 0: a root or a partial page
  int32_t users = 0;       // locks on this node and all below
  int32_t needed = 0;      // of them, those that need its page
  uint64_t last_used = 0;  // unique, so that it orders candidates
  bool verified = false;
  bool pinned = false;
  bool restored = false;  // from disk, and not used yet
  bool idle = false, candidate = false;
  std::string tenant;  // of a root

  bool is_root() const { return parent == nullptr; }
  bool is_dead() const {  // spells tokens for nobody
    return !is_root() && page == kNoPage && users == 0 && children.empty();
  }
};

bool PrefixCache::OldestFirst::operator()(const Node* a, const Node* b) const {
  return a->last_used < b->last_used;
}

PrefixCache::PrefixCache(PagePool& pool, PrefixObserver* observer, ColdPages* cold)
    : pool_(pool), observer_(observer), cold_(cold) {}

PrefixCache::~PrefixCache() {
  // Depth first without recursion: a long prompt is a deep chain.
  std::vector<std::unique_ptr<Node>> pending;
  for (auto& [tenant, root] : roots_) pending.push_back(std::move(root));
  while (!pending.empty()) {
    auto node = std::move(pending.back());
    pending.pop_back();
    for (auto& [key, child] : node->children) pending.push_back(std::move(child));
  }
}

PrefixCache::Node* PrefixCache::root(const std::string& tenant) {
  auto& slot = roots_[tenant];
  if (!slot) {
    slot = std::make_unique<Node>();
    slot->tenant = tenant;
    for (const Pin& pin : pins_) graft(slot.get(), pin);
  }
  return slot.get();
}

PrefixCache::Node* PrefixCache::child(Node* node, std::span<const TokenId> page_tokens) const {
  auto it = node->children.find(page_tokens);
  return it == node->children.end() ? nullptr : it->second.get();
}

PrefixCache::Partial PrefixCache::longest_child(Node* node, std::span<const TokenId> tokens) const {
  Partial best;
  auto consider = [&](auto it) {
    const int32_t n = common_beginning(it->first, tokens);
    if (n > best.n_tokens) best = {it->second.get(), n};
  };
  auto it = node->children.lower_bound(tokens);
  if (it != node->children.end()) consider(it);
  if (it != node->children.begin()) consider(std::prev(it));
  return best;
}

std::vector<PrefixCache::Node*> PrefixCache::follow(Node* node, std::span<const TokenId> tokens,
                                                    int32_t present_from, int32_t window) const {
  std::vector<Node*> path;
  size_t usable = 0;
  for (; tokens.size() >= kPageTokens; tokens = tokens.subspan(kPageTokens)) {
    node = child(node, tokens.first(kPageTokens));
    if (node == nullptr) break;
    path.push_back(node);
    const int32_t end = node->index + 1;
    if (node->page == kNoPage) present_from = end;
    if (present_from <= first_seen_page(end * kPageTokens, window)) usable = path.size();
  }
  path.resize(usable);
  return path;
}

PrefixCache::Node* PrefixCache::insert(Node* parent, std::span<const TokenId> tokens, PageId page) {
  XH_CHECK(!tokens.empty() && tokens.size() <= kPageTokens);
  XH_CHECK(parent->users > 0 && (parent->is_root() || parent->key->size() == kPageTokens));
  auto next = parent->children.lower_bound(tokens);
  if (next != parent->children.end()) {
    const int32_t shared = common_beginning(next->first, tokens);
    if (shared == static_cast<int32_t>(tokens.size())) {  // there, or covered by a longer one
      Node* found = next->second.get();
      const bool same = next->first.size() == tokens.size();
      touch(found);
      if (same && found->page == kNoPage && page != kNoPage) refill(found, page);
      return same ? found : nullptr;
    }
  }
  // A partial page that the new one extends sorts directly before it.
  if (next != parent->children.begin()) {
    auto previous = std::prev(next);
    if (!previous->second->pinned &&
        common_beginning(previous->first, tokens) == static_cast<int32_t>(previous->first.size()))
      remove(previous->second.get());
  }
  auto [it, added] = parent->children.emplace(Key(tokens.begin(), tokens.end()), nullptr);
  it->second = std::make_unique<Node>();
  Node* node = it->second.get();
  node->parent = parent;
  node->key = &it->first;
  node->index = parent->index + 1;
  node->last_used = ++clock_;
  take_page(node, page);
  update_idle(parent);
  if (observer_ != nullptr && tokens.size() == kPageTokens) {
    node->block = ++last_block_;
    observer_->stored({node->block, parent->block, parent->tenant, tokens});
  }
  return node;
}

void PrefixCache::touch(Node* node) {
  const bool listed = node->candidate;  // the list is ordered by last_used
  if (listed) candidates_.erase(node);
  node->last_used = ++clock_;
  if (listed) candidates_.insert(node);
}

// After any change of the node: does it hold a page that nobody needs, and could that go now? A
// path that nobody uses goes from its end.
void PrefixCache::update_idle(Node* node) {
  const bool idle = node->page != kNoPage && node->needed == 0 && !node->pinned;
  n_idle_ += idle - node->idle;
  node->idle = idle;
  const bool candidate = idle && (node->users > 0 || node->children.empty());
  if (candidate == node->candidate) return;
  node->candidate = candidate;
  if (candidate)
    candidates_.insert(node);
  else
    candidates_.erase(node);
}

void PrefixCache::take_page(Node* node, PageId page) {
  node->page = page;
  if (page != kNoPage) {
    pool_.add_ref(page);
    ++n_nodes_;
  }
  update_idle(node);
}

void PrefixCache::give_page(Node* node) {
  if (node->page == kNoPage) return;
  if (cold_ != nullptr) cold_->page_leaves(node->page);
  pool_.release(node->page);
  node->page = kNoPage;
  --n_nodes_;
  update_idle(node);
}

// What the new page holds has not led to finite logits yet, and what lies below may have been
// checked without it.
void PrefixCache::refill(Node* node, PageId page) {
  take_page(node, page);
  std::vector<Node*> pending{node};
  while (!pending.empty()) {
    Node* at = pending.back();
    pending.pop_back();
    if (!at->pinned) at->verified = false;
    for (auto& [key, below] : at->children) pending.push_back(below.get());
  }
}

void PrefixCache::lock(Node* node, int32_t first) {
  for (; node != nullptr; node = node->parent) {
    ++node->users;
    node->needed += node->index >= first;
    update_idle(node);
  }
}

void PrefixCache::unlock(Node* node, int32_t first) {
  Node* const end = node;
  Node* root = node;
  for (; node != nullptr; root = node, node = node->parent) {
    XH_CHECK(node->users > 0);
    --node->users;
    node->needed -= node->index >= first;
    update_idle(node);
    touch(node);
  }
  if (end->is_dead())
    remove(end);
  else
    drop_root_if_empty(root);
}

void PrefixCache::descend(Node*& held, Node* to) {
  XH_CHECK(to->parent == held && held->users > 0);
  ++to->users;
  ++to->needed;
  update_idle(to);
  held = to;
}

void PrefixCache::pass(Node* node, int32_t index) {
  while (node->index > index) node = node->parent;
  XH_CHECK(node->index == index && node->needed > 0);
  --node->needed;
  touch(node);
  update_idle(node);
}

void PrefixCache::mark_verified(Node* node) {
  for (; !node->is_root() && !node->verified; node = node->parent) node->verified = true;
}

PrefixCache::Node* PrefixCache::first_unverified(Node* node) const {
  Node* first = nullptr;
  for (; !node->is_root() && !node->verified; node = node->parent) first = node;
  return first;
}

bool PrefixCache::is_below(const Node* node, const Node* ancestor) const {
  for (; node != nullptr; node = node->parent)
    if (node == ancestor) return true;
  return false;
}

bool PrefixCache::evict_one() {
  if (candidates_.empty()) return n_idle_ > 0 && hollow_any();
  Node* oldest = *candidates_.begin();
  if (oldest->users > 0)
    give_page(oldest);
  else
    remove(oldest);
  return true;
}

// A path that nobody uses cannot go from its end where that is pinned and its beginning is not: the
// window had passed the beginning when the end was pinned.
bool PrefixCache::hollow_any() {
  std::vector<Node*> pending;
  for (auto& [tenant, root] : roots_) pending.push_back(root.get());
  while (!pending.empty()) {
    Node* node = pending.back();
    pending.pop_back();
    if (node->idle) return give_page(node), true;
    for (auto& [key, child] : node->children) pending.push_back(child.get());
  }
  return false;
}

void PrefixCache::remove(Node* node) {
  Node* parent;
  do {
    parent = node->parent;
    remove_one(node);
    node = parent;
  } while (parent->is_dead());
  if (parent->is_root()) drop_root_if_empty(parent);
}

void PrefixCache::remove_one(Node* node) {
  XH_CHECK(!node->is_root() && node->users == 0);
  Node* parent = node->parent;
  std::vector<Node*> pending{node};
  std::vector<std::unique_ptr<Node>> dead;  // destroyed flat: no recursion down a long chain
  auto place = parent->children.find(*node->key);
  dead.push_back(std::move(place->second));
  parent->children.erase(place);
  while (!pending.empty()) {
    Node* at = pending.back();
    pending.pop_back();
    if (at->block != 0) observer_->removed(at->block);
    if (at->pinned)  // it was found to be damaged: no tree that is to come gets it
      std::erase_if(pins_, [&](const Pin& pin) {
        return std::ranges::find(pin.pages, at->page) != pin.pages.end();
      });
    give_page(at);
    for (auto& [key, below] : at->children) {
      pending.push_back(below.get());
      dead.push_back(std::move(below));
    }
    at->children.clear();
  }
  update_idle(parent);
}

void PrefixCache::drop_root_if_empty(Node* root) {
  if (root->users == 0 && root->children.empty()) roots_.erase(roots_.find(root->tenant));
}

void PrefixCache::pin(const std::string& tenant, std::span<const TokenId> tokens,
                      std::span<const PageId> pages) {
  Pin pin{{tokens.begin(), tokens.end()}, {pages.begin(), pages.end()}};
  Node* own = root(tenant);  // first, so that the pages are held there
  graft(own, pin);
  for (auto& [name, other] : roots_)
    if (other.get() != own) graft(other.get(), pin);
  pins_.push_back(std::move(pin));
}

void PrefixCache::graft(Node* root, const Pin& pin) {
  lock(root);
  Node* at = root;
  const auto all = std::span(pin.tokens);
  for (size_t i = 0; i < pin.pages.size(); ++i) {
    const size_t begin = i * kPageTokens;
    const auto tokens = all.subspan(begin, std::min<size_t>(kPageTokens, all.size() - begin));
    Node* node = child(at, tokens);
    if (node == nullptr) node = insert(at, tokens, pin.pages[i]);
    if (node == nullptr) break;  // a partial page, covered by one that is there
    if (pin.pages[i] != kNoPage) set_pinned(node, pin.pages[i]);
    if (tokens.size() == kPageTokens) descend(at, node);
  }
  unlock(at);
}

void PrefixCache::set_pinned(Node* node, PageId page) {
  if (node->page != page) {  // the same content, computed by someone else
    give_page(node);
    take_page(node, page);
  }
  node->verified = true;
  node->pinned = true;
  update_idle(node);
}

int32_t PrefixCache::n_pinned_pages() const {
  std::set<PageId> pages;
  for (const Pin& pin : pins_) pages.insert(pin.pages.begin(), pin.pages.end());
  pages.erase(kNoPage);
  return static_cast<int32_t>(pages.size());
}

void PrefixCache::set_restored(Node* node) {
  node->verified = node->restored = true;
}

bool PrefixCache::take_restored(Node* node) {
  return std::exchange(node->restored, false);
}

void PrefixCache::for_each_path(const Path& visit) const {
  // The deepest full, verified pages: what has no such child.
  const auto counts = [](const Node& n) {
    return n.is_root() || (n.verified && n.key->size() == kPageTokens);
  };
  std::vector<const Node*> ends, pending;
  for (const auto& [tenant, root] : roots_) pending.push_back(root.get());
  while (!pending.empty()) {
    const Node* node = pending.back();
    pending.pop_back();
    bool end = true;
    for (const auto& [key, child] : node->children)
      if (counts(*child)) pending.push_back(child.get()), end = false;
    if (end && !node->is_root()) ends.push_back(node);
  }
  std::ranges::sort(ends, std::greater(), &Node::last_used);
  for (const Node* end : ends) {
    const auto pages = pages_before_gap(end);
    if (pages.empty()) continue;
    std::vector<const Node*> path;
    const Node* at = end;
    for (; !at->is_root(); at = at->parent) path.push_back(at);
    std::vector<TokenId> tokens;
    for (const Node* node : path | std::views::reverse | std::views::take(pages.size()))
      tokens.insert(tokens.end(), node->key->begin(), node->key->end());
    visit(at->tenant, tokens, pages);
  }
}

std::vector<PageId> PrefixCache::pages_before_gap(const Node* node) const {
  std::vector<PageId> pages(static_cast<size_t>(node->index + 1));
  for (; !node->is_root(); node = node->parent)
    if (node->page == kNoPage)
      pages.resize(static_cast<size_t>(node->index));
    else if (static_cast<size_t>(node->index) < pages.size())
      pages[static_cast<size_t>(node->index)] = node->page;
  return pages;
}

PageId PrefixCache::page(const Node* node) const {
  return node->page;
}

PrefixCache::Node* PrefixCache::parent(const Node* node) const {
  return node->parent;
}

std::vector<PageId> PrefixCache::pages() const {
  std::vector<PageId> out;
  std::vector<const Node*> pending;
  for (auto& [tenant, root] : roots_) pending.push_back(root.get());
  while (!pending.empty()) {
    const Node* node = pending.back();
    pending.pop_back();
    if (node->page != kNoPage) out.push_back(node->page);
    for (auto& [key, child] : node->children) pending.push_back(child.get());
  }
  return out;
}

}  // namespace xh
