// Byte-pair merging: join the neighbouring pair of lowest rank, leftmost first, until no pair
// of the table is left. Shared by byte-level BPE (rank = place in the merge list) and
// SentencePiece BPE (rank = place of the result's score).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/huge_pages.h"
#include "text/tokenizer.h"

namespace xh {

// The symbols of one word, which may be a whole text.
using Symbols = std::vector<TokenId, HugePageAllocator<TokenId>>;

constexpr uint32_t kNoRank = 0xFFFFFFFF;

struct Merge {
  uint32_t rank = kNoRank;  // lower merges first
  TokenId result = -1;
};

// (left, right) → Merge. Open addressing, hashed with a seed of its own, so that a crafted
// vocabulary cannot make it slow.
class MergeTable {
 public:
  MergeTable();
  void reserve(size_t pairs);
  // The first merge given for a pair stays. rank < kNoRank; ids must be >= 0.
  void add(TokenId left, TokenId right, Merge merge);
  Merge find(TokenId left, TokenId right) const {
    const uint64_t key = pair_key(left, right);
    for (size_t i = slot_of(key);; i = (i + 1) & mask_) {
      const Slot& s = slots_[i];
      if (s.key == key) return s.merge;
      if (s.key == kEmpty) return {};
    }
  }
  size_t size() const { return size_; }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static uint64_t pair_key(TokenId l, TokenId r) {
    return uint64_t{static_cast<uint32_t>(l)} << 32 | static_cast<uint32_t>(r);
  }
  size_t slot_of(uint64_t key) const {
    key = (key ^ seed_) * 0x9E3779B97F4A7C15ull;
    key = (key ^ (key >> 32)) * 0xD6E8FEB86659FD93ull;
    return (key ^ (key >> 32)) & mask_;
  }
  void grow(size_t capacity);

  std::vector<Slot> slots_;
  size_t mask_ = 0, size_ = 0;
  uint64_t seed_;
};

// Merges `symbols` in place (ids >= 0; ids the table does not know simply never merge).
// O(n log n) at worst, for any table.
void merge_symbols(const MergeTable& table, Symbols& symbols);

}  // namespace xh
