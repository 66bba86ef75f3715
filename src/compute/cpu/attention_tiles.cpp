// Which columns go together, and which thread does what.
#include <algorithm>

#include "compute/cpu/attention_scratch.h"

namespace xh::cpu {
namespace {

int32_t common_pages(const SequenceRows& a, const SequenceRows& b) {
  const auto [x, y] = std::ranges::mismatch(a.pages, b.pages);
  (void)y;
  return static_cast<int32_t>(x - a.pages.begin());
}

}  // namespace

int32_t AttentionRunner::step_columns() const {
  if (takes_whole()) return kWideTile;
  return is_q8() ? table_->attention->score_columns : table_->tile_columns;
}
int32_t AttentionRunner::tile_columns() const {
  return is_q8() ? kWideTile / step_columns() * step_columns() : table_->tile_columns;
}

void AttentionRunner::cut_tiles() {
  const AttentionCall& call = *call_;
  columns_.clear();
  tiles_.clear();
  items_.clear();
  find_parties();
  for (const Party& party : parties_) {
    if (party.members.size() < 2) continue;
    const auto shared = static_cast<int32_t>(tiles_.size());
    for (int32_t kv_head = 0; kv_head < call.n_kv_heads; ++kv_head) {
      Tile tile{party.members[0]->pages, kv_head, static_cast<int32_t>(columns_.size()),
                party.columns,           0,       party.n_chunks};
      tile.for_others = true;
      tiles_.push_back(tile);
      for (const SequenceRows* seq : party.members)
        add_columns(*seq, kv_head, 0, seq->n_rows * group());
    }
    int32_t at = 0;
    for (const SequenceRows* seq : party.members) {
      for (int32_t kv_head = 0; kv_head < call.n_kv_heads; ++kv_head)
        cut_sequence(*seq, kv_head, party.n_chunks, shared + kv_head, at);
      at += seq->n_rows * group();
    }
  }
  for (size_t i = 0; i < call.sequences.size(); ++i)
    if (party_of_[i] < 0 || parties_[static_cast<size_t>(party_of_[i])].members.size() < 2)
      for (int32_t kv_head = 0; kv_head < call.n_kv_heads; ++kv_head)
        cut_sequence(call.sequences[i], kv_head, 0, -1, 0);
  make_items();
}

// A party is as wide as one tile, and as long as its members have whole chunks in common, all of
// them before every member's first row. A sequence that would shorten it by half looks elsewhere.
void AttentionRunner::find_parties() {
  const auto& sequences = call_->sequences;
  parties_.clear();
  party_floats_ = 0;
  party_of_.assign(sequences.size(), -1);
  if (sequences.size() < 2 || call_->window > 0) return;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const SequenceRows& seq = sequences[i];
    const int32_t columns = seq.n_rows * group(), before = seq.first_pos / kChunkTokens;
    if (columns > tile_columns() / 2 || before == 0) continue;
    const int64_t floats =  // of the states of its own chunks and of its part of the shared ones
        int64_t{before + 1 + columns / group() / kChunkTokens + 1} * state_floats(columns) *
        call_->n_kv_heads;
    if (party_floats_ + floats > kPartialFloats) break;
    party_floats_ += floats;
    for (size_t k = 0; k < parties_.size() && party_of_[i] < 0; ++k) {
      Party& party = parties_[k];
      if (party.columns + columns > tile_columns()) continue;
      const int32_t pages = common_pages(*party.members[0], seq);
      const int32_t chunks =
          std::min({party.n_chunks, before, pages / (kChunkTokens / kPageTokens)});
      if (chunks == 0 || chunks < party.n_chunks / 2) continue;
      party.n_chunks = chunks;
      party.columns += columns;
      party.members.push_back(&seq);
      party_of_[i] = static_cast<int32_t>(k);
    }
    if (party_of_[i] >= 0) continue;
    party_of_[i] = static_cast<int32_t>(parties_.size());
    parties_.push_back({{&seq}, before, columns});
  }
}

void AttentionRunner::add_columns(const SequenceRows& seq, int32_t kv_head, int32_t first,
                                  int32_t n) {
  for (int32_t c = first; c < first + n; ++c)
    columns_.push_back({seq.first_row + c / group(), kv_head * group() + c % group(),
                        seq.first_pos + c / group()});
}

void AttentionRunner::cut_sequence(const SequenceRows& seq, int32_t kv_head, int32_t first_chunk,
                                   int32_t shared, int32_t shared_column) {
  // Evenly, in what kernels take at once: a last tile of a few columns would cost more for each.
  const int32_t columns = seq.n_rows * group(), unit = takes_whole() ? kWholeUnit : step_columns();
  const int32_t units = (columns + unit - 1) / unit, most = tile_columns() / unit;
  const int32_t n_tiles = (units + most - 1) / most;
  for (int32_t i = 0; i < n_tiles; ++i) {
    const int32_t first = units * i / n_tiles * unit;
    const int32_t n = std::min(units * (i + 1) / n_tiles * unit, columns) - first;
    Tile tile{seq.pages, kv_head, static_cast<int32_t>(columns_.size()), n, 0, 0};
    add_columns(seq, kv_head, first, n);
    tile.first_chunk = std::max(first_chunk, window_begin(column(tile, 0).pos) / kChunkTokens);
    tile.n_chunks = column(tile, n - 1).pos / kChunkTokens + 1 - tile.first_chunk;
    tile.shared = shared;
    tile.shared_column = shared_column;
    tiles_.push_back(tile);
  }
}

// How many tiles from this one on go together: evenly, with so many columns at most.
int32_t AttentionRunner::bunch_at(size_t first, int64_t most_columns) const {
  const Tile& tile = tiles_[first];
  const auto left = std::span(tiles_).subspan(first);
  const bool one_head = is_q8() && left.size() > 1 && left[1].kv_head == tile.kv_head;
  auto follows = [&](size_t n) {
    const Tile& next = left[n];
    if (next.pages.data() != tile.pages.data() || next.for_others != tile.for_others) return false;
    if (one_head) return next.kv_head == tile.kv_head && next.first_chunk == tile.first_chunk;
    return next.kv_head == tile.kv_head + static_cast<int32_t>(n) &&
           next.n_columns == tile.n_columns && column(next, 0).row == column(tile, 0).row;
  };
  size_t n = 1;
  while (n < left.size() && follows(n)) ++n;
  const int64_t room = one_head ? kItemColumns : tile_columns();
  const int64_t most =
      std::max<int64_t>(1, std::min({most_columns / tile.n_columns, room / tile.n_columns,
                                     int64_t{one_head ? kSameHead : kItemTiles}}));
  const int64_t bunches = (static_cast<int64_t>(n) + most - 1) / most;
  return static_cast<int32_t>((static_cast<int64_t>(n) + bunches - 1) / bunches);
}

// Bunches that hold more than a small part of a thread's fair share are split. The state of every
// part that another one waits for is kept.
void AttentionRunner::make_items() {
  int64_t work = 0;  // chunks × columns
  for (const Tile& tile : tiles_) work += int64_t{tile.n_chunks} * tile.n_columns;
  const int64_t share = work / (8 * pool_->size());
  int64_t used = 0, left = kPartialFloats - party_floats_;
  int32_t n = 0;
  for (size_t i = 0; i < tiles_.size(); i += static_cast<size_t>(n)) {
    n = bunch_at(i, share);
    const std::span<Tile> tiles{&tiles_[i], static_cast<size_t>(n)};
    const Tile& tile = tiles[0];
    const int32_t n_chunks = tiles.back().n_chunks;  // the most
    int64_t columns = 0, floats = 0;                 // with every chunk's state
    for (const Tile& t : tiles) {
      columns += t.n_columns;
      floats += t.n_chunks * state_floats(t.n_columns);
    }
    const auto run = static_cast<int32_t>(std::clamp<int64_t>(share / columns, 1, n_chunks));
    const bool split = pool_->size() > 1 && run < n_chunks;
    const bool keep = tile.for_others || tile.shared >= 0;
    if (!keep) left -= split ? floats : 0;
    const bool each = keep ? split || tile.shared >= 0 : split && left >= 0;
    for (Tile& t : tiles) {
      if (each) t.run = split ? run : n_chunks;
      if (!each && !keep) continue;
      t.partials = used;
      used += (each ? t.n_chunks : 1) * state_floats(t.n_columns);
    }
    const int32_t step = each ? tile.run : n_chunks;
    for (int32_t c = 0; c < n_chunks; c += step)
      items_.push_back({static_cast<int32_t>(i), n, c, std::min(step, n_chunks - c)});
  }
}

}  // namespace xh::cpu
