// Pages of prefixes outside of memory, as the scheduler sees them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "compute/kv_store.h"
#include "text/tokenizer.h"

namespace xh {

using FetchId = uint64_t;

// Calls come from the scheduler's thread and never wait for a device.
class ColdPages {
 public:
  virtual ~ColdPages() = default;

  // What could be brought back for a sequence that begins with `tokens`, of which the first `depth`
  // pages are in memory: consecutive pages, each with all its tokens. Only the last may differ from
  // `tokens` after some common beginning.
  struct Found {
    std::vector<TokenId> tokens;   // (pages · kPageTokens)
    std::vector<uint64_t> places;  // (pages), for fetch()
    int32_t n_pages() const { return static_cast<int32_t>(places.size()); }
  };
  virtual Found find(const std::string& tenant, std::span<const TokenId> tokens, int32_t depth) = 0;

  // Begins to fill `pages`, which nobody else touches until take_fetched() says that it is done.
  virtual void fetch(FetchId id, const Found& found, std::vector<PageId> pages) = 0;
  struct Fetched {
    FetchId id = 0;
    int32_t n_pages = 0;  // the first so many hold what find() said
  };
  virtual std::vector<Fetched> take_fetched() = 0;

  // These full pages of a path hold checked results: worth keeping. They may be read until
  // page_leaves(). `last_call`: keep even what is little.
  virtual void keep(const std::string& tenant, std::span<const TokenId> tokens,
                    std::span<const PageId> pages, bool last_call) = 0;
  // The page's content may change after this returns.
  virtual void page_leaves(PageId page) = 0;
  // What begins with these tokens' first page is damaged.
  virtual void forget(const std::string& tenant, std::span<const TokenId> tokens) = 0;
};

}  // namespace xh
