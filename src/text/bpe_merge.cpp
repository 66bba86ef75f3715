#include "text/bpe_merge.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <queue>
#include <random>
#include <unordered_map>

namespace xh {
namespace {

constexpr size_t kScanLimit = 32;   // up to here, looking at every pair each time is fastest
constexpr size_t kHeapLimit = 512;  // up to here, a heap of pairs is quick
constexpr size_t kLongList = 1 << 20;
constexpr int kInterruptLimit = 8;  // see merge_by_rank

using Positions = std::vector<uint32_t, HugePageAllocator<uint32_t>>;

// Few symbols: look for the best pair, join, repeat.
void merge_by_scan(const MergeTable& table, Symbols& symbols) {
  Merge pairs[kScanLimit];  // pairs[i]: symbols i and i + 1
  size_t n = symbols.size();
  for (size_t i = 0; i + 1 < n; ++i) pairs[i] = table.find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i)
      if (pairs[i].rank < pairs[best].rank) best = i;
    if (pairs[best].rank == kNoRank) break;
    symbols[best] = pairs[best].result;
    std::copy(symbols.begin() + best + 2, symbols.begin() + n, symbols.begin() + best + 1);
    std::copy(pairs + best + 1, pairs + n - 1, pairs + best);
    --n;
    if (best > 0) pairs[best - 1] = table.find(symbols[best - 1], symbols[best]);
    if (best + 1 < n) pairs[best] = table.find(symbols[best], symbols[best + 1]);
  }
  symbols.resize(n);
}

// Many symbols, as a list inside one array of the original length: a symbol that begins at position
// p has its id (>= 0) there; when it is longer than one position, the second and the last of its
// positions, which may be the same one, hold -length, and those between anything negative. So both
// neighbours are found without links, and a text of many megabytes takes no second array.
class SymbolList {
 public:
  SymbolList(const MergeTable& table, Symbols& ids) : table_(table), at_(ids) {}

  size_t size() const { return at_.size(); }
  size_t next(size_t pos) const {
    const bool longer = pos + 1 < at_.size() && at_[pos + 1] < 0;
    return longer ? pos + static_cast<uint32_t>(-at_[pos + 1]) : pos + 1;
  }
  // The merge of the symbol at `pos` with the one after it.
  Merge pair_at(size_t pos) const {
    const size_t right = next(pos);
    return right < size() ? table_.find(at_[pos], at_[right]) : Merge{};
  }
  bool starts_symbol(size_t pos) const { return at_[pos] >= 0; }

  // Joins the symbol at `pos` with the next; `push(rank, position)` is told the new pairs.
  template <class Push>
  void join(size_t pos, TokenId result, Push push) {
    const size_t right = next(pos), end = next(right);
    const auto length = static_cast<TokenId>(end - pos);
    at_[pos] = result;
    at_[right] = at_[pos + 1] = at_[end - 1] = -length;
    if (pos > 0) {
      const size_t left = previous(pos);
      const Merge m = pair_at(left);
      if (m.rank != kNoRank) push(m.rank, left);
    }
    const Merge m = pair_at(pos);
    if (m.rank != kNoRank) push(m.rank, pos);
  }

  // Leaves only the symbols, closed up.
  void finish() {
    std::erase_if(at_, [](TokenId id) { return id < 0; });
  }

 private:
  size_t previous(size_t pos) const {
    return at_[pos - 1] >= 0 ? pos - 1 : pos - static_cast<uint32_t>(-at_[pos - 1]);
  }

  const MergeTable& table_;
  Symbols& at_;
};

// Any state of the list, any table: a heap of (rank, position). Entries whose pair has changed
// since are dropped when they come up.
void merge_by_heap(SymbolList& list) {
  std::vector<uint64_t> start;
  for (size_t p = 0; p < list.size(); p = list.next(p)) {
    const Merge m = list.pair_at(p);
    if (m.rank != kNoRank) start.push_back(uint64_t{m.rank} << 32 | p);
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap({}, std::move(start));
  while (!heap.empty()) {
    const auto rank = static_cast<uint32_t>(heap.top() >> 32);
    const auto pos = static_cast<uint32_t>(heap.top());
    heap.pop();
    if (!list.starts_symbol(pos)) continue;
    const Merge m = list.pair_at(pos);
    if (m.rank != rank) continue;
    list.join(pos, m.result, [&heap](uint32_t r, size_t p) { heap.push(uint64_t{r} << 32 | p); });
  }
}

// Very many symbols: a heap of distinct ranks, each with the list of its positions, swept in
// order. That is near linear and walks memory forwards. It is exact as long as joins of one
// rank only open pairs of higher ranks, which is how vocabularies are learned; when a lower (or
// the same) rank opens, the sweep stops and starts again from there, and a table that does so
// often is left to the heap.
void merge_by_rank(SymbolList& list) {
  std::unordered_map<uint32_t, Positions> places;
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> ranks;
  const auto push = [&](uint32_t rank, size_t pos) {
    auto& at = places[rank];
    if (at.empty()) ranks.push(rank);
    // One letter repeated fills one list: growing it in steps would touch it thrice.
    if (at.size() == kLongList) at.reserve(list.size());
    at.push_back(static_cast<uint32_t>(pos));
  };
  for (size_t p = 0; p < list.size(); p = list.next(p)) {
    const Merge m = list.pair_at(p);
    if (m.rank != kNoRank) push(m.rank, p);
  }
  int interrupts = 0;
  while (!ranks.empty()) {
    const uint32_t rank = ranks.top();
    ranks.pop();
    auto node = places.extract(rank);
    auto& sweep = node.mapped();
    if (!std::is_sorted(sweep.begin(), sweep.end())) std::sort(sweep.begin(), sweep.end());
    for (size_t i = 0; i < sweep.size(); ++i) {
      if (!list.starts_symbol(sweep[i])) continue;
      const Merge m = list.pair_at(sweep[i]);
      if (m.rank != rank) continue;
      bool lower = false;
      list.join(sweep[i], m.result, [&](uint32_t r, size_t p) {
        lower |= r <= rank;
        push(r, p);
      });
      if (!lower) continue;
      if (++interrupts > kInterruptLimit) return merge_by_heap(list);
      for (size_t j = i + 1; j < sweep.size(); ++j) push(rank, sweep[j]);
      break;
    }
  }
}

}  // namespace

MergeTable::MergeTable()
    : seed_((uint64_t{std::random_device{}()} << 32) | std::random_device{}()) {
  grow(16);
}

void MergeTable::reserve(size_t pairs) {
  const size_t capacity = std::bit_ceil(pairs * 2 + 16);
  if (capacity > slots_.size()) grow(capacity);
}

void MergeTable::grow(size_t capacity) {
  std::vector<Slot> old(capacity);
  old.swap(slots_);
  mask_ = capacity - 1;
  for (const Slot& s : old) {
    if (s.key == kEmpty) continue;
    size_t i = slot_of(s.key);
    while (slots_[i].key != kEmpty) i = (i + 1) & mask_;
    slots_[i] = s;
  }
}

void MergeTable::add(TokenId left, TokenId right, Merge merge) {
  if ((size_ + 1) * 2 > slots_.size()) grow(slots_.size() * 2);
  const uint64_t key = pair_key(left, right);
  size_t i = slot_of(key);
  for (; slots_[i].key != kEmpty; i = (i + 1) & mask_)
    if (slots_[i].key == key) return;
  slots_[i] = {key, merge};
  ++size_;
}

void merge_symbols(const MergeTable& table, Symbols& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kScanLimit) return merge_by_scan(table, symbols);
  SymbolList list(table, symbols);
  if (symbols.size() <= kHeapLimit) {
    merge_by_heap(list);
  } else {
    merge_by_rank(list);
  }
  list.finish();
}

}  // namespace xh
