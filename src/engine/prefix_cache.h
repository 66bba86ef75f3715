// Prompts that were computed before: a tree whose nodes are pages of tokens.
//
// A path from a tenant's root spells a token sequence, kPageTokens at a time; each node owns one
// reference to the page that holds the keys and values of its tokens. Inner nodes are full pages;
// a leaf may be a partly filled one. Children are sorted by their tokens, so the child that shares
// the longest beginning with a given sequence is a neighbour of its place in the order. Token ids
// are compared, never hashes, and tenants have separate trees: a tenant cannot find, nor measure
// by timing, what another one asked.
//
// Sequences hold a lock on the deepest node they use; locked nodes and their ancestors stay. All
// others may be evicted, least recently used leaves first, but for pinned ones.
//
// In a model whose layers all have windows a lock stops needing the pages that its sequence's
// window has passed. They stay while there is room, then go in their turn: such a node remains, to
// spell its tokens, but is hollow. A path is of use where every page within the window before its
// end is there (follow()).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/cold_pages.h"
#include "engine/page_pool.h"
#include "engine/prefix_observer.h"
#include "text/tokenizer.h"

namespace xh {

// Owned by the scheduler; one thread.
class PrefixCache {
 public:
  struct Node;
  // `observer` and `cold` may be null; they must outlive the cache. `cold` hears of every page that
  // leaves.
  explicit PrefixCache(PagePool& pool, PrefixObserver* observer = nullptr,
                       ColdPages* cold = nullptr);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // The tenant's root; a lock on it keeps nothing but the root itself.
  Node* root(const std::string& tenant);

  // The child of `node` that holds exactly these kPageTokens tokens, or null.
  Node* child(Node* node, std::span<const TokenId> page_tokens) const;
  // The child sharing the longest beginning with `tokens` (up to a page), and its length.
  struct Partial {
    Node* node = nullptr;
    int32_t n_tokens = 0;
  };
  Partial longest_child(Node* node, std::span<const TokenId> tokens) const;

  // The nodes after `node` that spell full pages of `tokens`, up to the last from which a sequence
  // with this window can go on. It has the pages from number `present_from` up to `node` itself.
  std::vector<Node*> follow(Node* node, std::span<const TokenId> tokens, int32_t present_from,
                            int32_t window) const;

  // Records that `page` holds `tokens` (1 … kPageTokens) after `parent`, which is locked. Returns
  // the node that now stands for them: a new one, or a hollow one, which takes its own reference to
  // `page`; or the one that was there (then the caller may switch to its page: the contents are the
  // same). Null when the tokens are a partial page that a child already covers.
  Node* insert(Node* parent, std::span<const TokenId> tokens, PageId page);

  // A lock keeps the node and its ancestors, and needs the pages from number `first` on.
  void lock(Node* node, int32_t first = 0);
  void unlock(Node* node, int32_t first = 0);
  // Moves a lock one step down: `held` becomes its child `to`, whose page is needed.
  void descend(Node*& held, Node* to);
  // The lock on `node` no longer needs page number `index` of its path.
  void pass(Node* node, int32_t index);

  // Finite logits came out of a computation that used this path: it is good.
  void mark_verified(Node* node);
  // The unverified node nearest to the root on the way to `node`, or null.
  Node* first_unverified(Node* node) const;
  bool is_below(const Node* node, const Node* ancestor) const;  // or the same

  // Frees the least recently used page that nobody needs: of a leaf, which is removed, or one that
  // windows have passed. False: nothing can be evicted.
  bool evict_one();
  // Removes a node and all below it. None of them may be locked.
  void remove(Node* node);

  // Makes these tokens and pages, which are in the tree of `tenant`, a path that every tenant has
  // and that stays: pages are shared, trees are not. The last page may be a partial one; kNoPage
  // where the window has passed.
  void pin(const std::string& tenant, std::span<const TokenId> tokens,
           std::span<const PageId> pages);

  // The node came back from disk, where only checked pages go.
  void set_restored(Node* node);
  bool take_restored(Node* node);  // whether it did; the next one to ask is told no

  // Every path of checked full pages up to the first hollow one, the most recently used first.
  using Path = std::function<void(const std::string& tenant, std::span<const TokenId> tokens,
                                  std::span<const PageId> pages)>;
  void for_each_path(const Path& visit) const;

  PageId page(const Node* node) const;  // kNoPage: the node is hollow
  // The pages on the way from the root to `node`, up to the first hollow one.
  std::vector<PageId> pages_before_gap(const Node* node) const;
  Node* parent(const Node* node) const;
  int32_t n_nodes() const { return n_nodes_; }  // pages held by the tree
  int32_t n_pinned_pages() const;
  int32_t n_evictable() const { return n_idle_; }  // of them: nobody needs them
  // Every page the tree holds; for checks.
  std::vector<PageId> pages() const;

 private:
  struct OldestFirst {
    bool operator()(const Node* a, const Node* b) const;
  };
  void touch(Node* node);
  void update_idle(Node* node);
  void take_page(Node* node, PageId page);
  void give_page(Node* node);
  void refill(Node* node, PageId page);
  bool hollow_any();
  void remove_one(Node* node);
  void drop_root_if_empty(Node* root);
  struct Pin {
    std::vector<TokenId> tokens;
    std::vector<PageId> pages;
  };
  void graft(Node* root, const Pin& pin);
  void set_pinned(Node* node, PageId page);

  PagePool& pool_;
  PrefixObserver* observer_;
  ColdPages* cold_;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;
  std::set<Node*, OldestFirst> candidates_;  // for eviction: see update_idle()
  std::vector<Pin> pins_;                    // the trees hold the references
  uint64_t clock_ = 0;
  uint64_t last_block_ = 0;
  int32_t n_nodes_ = 0;
  int32_t n_idle_ = 0;
};

}  // namespace xh
