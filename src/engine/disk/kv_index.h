// Which runs of pages lie on disk, as a tree: a run hangs from a page of another one or from a
// tenant's root, and is named by a digest chained over tenant, model and all tokens up to its end.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/disk/kv_run.h"

namespace xh {

using RunId = uint32_t;

struct DigestHash {
  size_t operator()(const Digest& d) const;
};

// Not thread-safe.
class KvIndex {
 public:
  KvIndex(const KvKey& key, const Digest& owner) : key_(key), owner_(owner) {}

  struct Run {
    Digest parent{};
    std::vector<Digest> ends;  // (pages) the chain after each page
    std::vector<TokenId> tokens;
    uint64_t bytes = 0;
    uint64_t last_used = 0;
    bool ready = false;  // the file is complete
    int32_t n_pages() const { return static_cast<int32_t>(ends.size()); }
    std::string file_name() const;
  };
  struct Place {
    RunId run = 0;
    int32_t page = 0;
  };

  Digest root(const std::string& tenant) const;
  Digest after(const Digest& parent, std::span<const TokenId> page) const;

  RunId add(const Digest& parent, std::vector<TokenId> tokens, uint64_t bytes, bool ready);
  void set_ready(RunId run);
  void remove(RunId run);
  const Run* find(RunId run) const;

  // The digest after as many full pages of `tokens` as are known here, from `at` on; and how many.
  struct Known {
    Digest end;
    int32_t n_pages = 0;
  };
  Known known(Digest at, std::span<const TokenId> tokens) const;
  // The ready pages that match after `at`; the last may match in part, by at least `least` tokens.
  // Touches their runs.
  std::vector<Place> match(Digest at, std::span<const TokenId> tokens, int32_t least);
  // All runs that begin with the page, or go on from it.
  std::vector<RunId> below(const Digest& at, std::span<const TokenId> page) const;
  // Ready, nothing hangs from it, least recently used.
  std::optional<RunId> oldest_leaf() const;
  void touch(RunId run) { runs_.at(run).last_used = ++clock_; }

  uint64_t used_bytes() const { return used_bytes_; }
  size_t n_runs() const { return runs_.size(); }

 private:
  std::optional<Place> child(const Digest& at, std::span<const TokenId> page, bool ready) const;
  std::span<const TokenId> tokens_at(Place place) const;
  bool is_leaf(RunId id, const Run& run) const;

  KvKey key_;
  Digest owner_;
  std::unordered_map<RunId, Run> runs_;
  std::unordered_multimap<Digest, Place, DigestHash> children_;  // pages by what comes before them
  RunId next_ = 1;
  uint64_t clock_ = 0;
  uint64_t used_bytes_ = 0;
};

}  // namespace xh
