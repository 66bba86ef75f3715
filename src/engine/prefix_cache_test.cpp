#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

namespace xh {
namespace {

std::vector<TokenId> page_of(int start) {
  std::vector<TokenId> out(kPageTokens);
  std::iota(out.begin(), out.end(), start);
  return out;
}

struct Tree {
  PagePool pool{64};
  PrefixCache cache{pool};

  // A locked chain of pages, as a sequence would publish it; its own references are dropped.
  PrefixCache::Node* chain(const std::string& tenant, std::vector<int> starts) {
    auto* at = cache.root(tenant);
    cache.lock(at);
    for (int start : starts) {
      const PageId page = *pool.take();
      auto* node = cache.insert(at, page_of(start), page);
      pool.release(page);
      cache.descend(at, node);
    }
    return at;
  }
};

TEST(PrefixCache, KeepsOnePageForTheSameTokens) {
  Tree t;
  auto* a = t.chain("x", {0, 100, 200});
  auto* b = t.chain("x", {0, 100, 300});
  EXPECT_EQ(t.cache.n_nodes(), 4);
  EXPECT_EQ(t.pool.n_used(), 4);
  EXPECT_EQ(t.cache.parent(a), t.cache.parent(b));
  t.chain("y", {0, 100, 200});  // another tenant has its own
  EXPECT_EQ(t.cache.n_nodes(), 7);
}

TEST(PrefixCache, LockedPathsStayAndTheOldestLeafGoesFirst) {
  Tree t;
  auto* a = t.chain("x", {0, 100});
  auto* b = t.chain("x", {0, 200});
  auto* c = t.chain("x", {0, 300});
  EXPECT_FALSE(t.cache.evict_one());
  t.cache.unlock(b);
  t.cache.unlock(a);
  EXPECT_EQ(t.cache.n_evictable(), 2);
  auto* root = t.cache.root("x");
  auto* shared = t.cache.child(root, page_of(0));
  EXPECT_TRUE(t.cache.evict_one());
  EXPECT_EQ(t.cache.child(shared, page_of(200)), nullptr);  // b was released first
  EXPECT_NE(t.cache.child(shared, page_of(100)), nullptr);
  EXPECT_TRUE(t.cache.evict_one());
  EXPECT_FALSE(t.cache.evict_one());
  EXPECT_NE(t.cache.child(shared, page_of(300)), nullptr);
  t.cache.unlock(c);
  EXPECT_TRUE(t.cache.evict_one());
  EXPECT_TRUE(t.cache.evict_one());
  EXPECT_EQ(t.pool.n_used(), 0);
}

TEST(PrefixCache, FindsTheLongestBeginning) {
  Tree t;
  auto* root = t.cache.root("x");
  t.cache.lock(root);
  auto insert = [&](std::vector<TokenId> tokens) {
    const PageId page = *t.pool.take();
    auto* node = t.cache.insert(root, tokens, page);
    t.pool.release(page);
    return node;
  };
  insert({1, 2, 3, 4});
  insert({1, 2, 9});
  auto* other = insert({1, 5});
  insert({7});
  EXPECT_EQ(t.cache.longest_child(root, std::vector<TokenId>{1, 2, 3, 9}).n_tokens, 3);
  EXPECT_EQ(t.cache.longest_child(root, std::vector<TokenId>{1, 5, 5}).node, other);
  EXPECT_EQ(t.cache.longest_child(root, std::vector<TokenId>{8}).node, nullptr);
  EXPECT_EQ(insert({1, 2}), nullptr);  // covered
  EXPECT_EQ(t.cache.n_nodes(), 4);
  auto longer = page_of(1);  // 1 2 3 4 5 …: replaces 1 2 3 4
  EXPECT_NE(insert(longer), nullptr);
  EXPECT_EQ(t.cache.n_nodes(), 4);
  EXPECT_EQ(t.pool.n_used(), 4);
}

TEST(PrefixCache, AVeryLongChainIsRemovedFlat) {
  PagePool pool(50000);
  PrefixCache cache(pool);
  auto* at = cache.root("x");
  cache.lock(at);
  auto* root = at;
  cache.lock(root);
  for (int i = 0; i < 50000; ++i) {
    const PageId page = *pool.take();
    auto* node = cache.insert(at, page_of(i), page);
    pool.release(page);
    cache.descend(at, node);
  }
  cache.unlock(at);
  EXPECT_EQ(cache.n_evictable(), 50000);
  cache.remove(cache.child(root, page_of(0)));
  EXPECT_EQ(pool.n_used(), 0);
  cache.unlock(root);
}

// What a listener believes is there.
struct Mirror : PrefixObserver {
  struct Block {
    uint64_t parent;
    std::string tenant;
    std::vector<TokenId> tokens;
  };
  std::map<uint64_t, Block> blocks;
  void stored(const Stored& b) override {
    EXPECT_TRUE(b.parent == 0 || blocks.contains(b.parent));
    EXPECT_TRUE(
        blocks
            .try_emplace(b.block,
                         Block{b.parent, std::string(b.tenant), {b.tokens.begin(), b.tokens.end()}})
            .second);
  }
  void removed(uint64_t block) override { EXPECT_EQ(blocks.erase(block), 1u); }
};

TEST(PrefixCache, AnObserverHearsOfEveryFullPage) {
  PagePool pool(64);
  Mirror mirror;
  PrefixCache cache(pool, &mirror);
  auto* root = cache.root("x");
  cache.lock(root);
  const auto add = [&](PrefixCache::Node* parent, const std::vector<TokenId>& tokens) {
    const PageId page = *pool.take();
    auto* node = cache.insert(parent, tokens, page);
    pool.release(page);
    return node;
  };
  auto* first = add(root, page_of(0));
  cache.lock(first);
  add(first, page_of(100));
  add(first, page_of(100));  // the same again is no news
  add(first, {7, 8, 9});     // nor is part of a page
  ASSERT_EQ(mirror.blocks.size(), 2u);
  const auto& [id, block] = *mirror.blocks.begin();
  EXPECT_EQ(block.parent, 0u);
  EXPECT_EQ(block.tenant, "x");
  EXPECT_EQ(block.tokens, page_of(0));
  EXPECT_EQ(mirror.blocks.rbegin()->second.parent, id);

  cache.unlock(first);
  while (cache.evict_one()) {
  }
  EXPECT_TRUE(mirror.blocks.empty());
  cache.unlock(root);
}

}  // namespace
}  // namespace xh
