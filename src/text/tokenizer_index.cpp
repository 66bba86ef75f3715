#include "text/tokenizer_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

namespace xh {

TokenIndex::TokenIndex() : slots_(16) {
  // Seeded, so that a crafted vocabulary cannot pile its tokens onto one slot.
  std::random_device random;
  seed_ = uint64_t{random()} << 32 | random();
}

void TokenIndex::append(std::string_view bytes) {
  block_ += bytes;
  starts_.push_back(block_.size());
}

uint64_t TokenIndex::hash(std::string_view bytes) const {
  uint64_t h = seed_ ^ bytes.size();
  const auto mix = [&h](uint64_t word) {
    h = (h ^ word) * 0x9E3779B97F4A7C15ull;
    h ^= h >> 29;
  };
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    mix(word);
  }
  uint64_t tail = 0;
  std::memcpy(&tail, bytes.data() + i, bytes.size() - i);
  mix(tail);
  h *= 0xD6E8FEB86659FD93ull;
  return h ^ h >> 32;
}

void TokenIndex::reserve(size_t tokens) {
  const size_t capacity = std::bit_ceil(tokens * 2 + 16);
  if (capacity <= slots_.size()) return;
  std::vector<Slot> old(capacity);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t i = slot_of(hash(bytes(slot.id)));
    while (slots_[i].id >= 0) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
}

void TokenIndex::insert(TokenId id) {
  reserve(used_ + 1);
  const std::string_view key = bytes(id);
  const uint64_t h = hash(key);
  size_t i = slot_of(h);
  for (; slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].tag == tag_of(h) && bytes(slots_[i].id) == key) return;
  slots_[i] = {id, tag_of(h)};
  ++used_;
  longest_ = std::max(longest_, key.size());
}

TokenId TokenIndex::find(std::string_view key) const {
  if (key.size() > longest_) return -1;
  const uint64_t h = hash(key);
  for (size_t i = slot_of(h); slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].tag == tag_of(h) && bytes(slots_[i].id) == key) return slots_[i].id;
  return -1;
}

void SpecialTokens::add(std::string text, TokenId id) {
  if (!text.empty()) entries_.push_back({std::move(text), id});
}

void SpecialTokens::finish() {
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
  const auto same = [](const Entry& a, const Entry& b) { return a.text == b.text; };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  for (const Entry& e : entries_) ++first_[static_cast<unsigned char>(e.text[0]) + 1];
  for (size_t b = 0; b < 256; ++b) first_[b + 1] += first_[b];
}

SpecialTokens::Match SpecialTokens::longest_at(std::string_view text, size_t pos) const {
  const auto byte = [](char c) { return static_cast<unsigned char>(c); };
  auto lo = entries_.begin() + first_[byte(text[pos])];
  auto hi = entries_.begin() + first_[byte(text[pos]) + 1];
  Match best;
  // Invariant: [lo, hi) are the entries that agree with the text in their first `n` bytes.
  for (size_t n = 1; lo != hi; ++n) {
    if (lo->text.size() == n) {
      best = {pos, n, lo->id};
      ++lo;
    }
    if (lo == hi || pos + n >= text.size()) break;
    const unsigned char c = byte(text[pos + n]);
    lo = std::partition_point(lo, hi, [&](const Entry& e) { return byte(e.text[n]) < c; });
    hi = std::partition_point(lo, hi, [&](const Entry& e) { return byte(e.text[n]) == c; });
  }
  return best;
}

SpecialTokens::Match SpecialTokens::next(std::string_view text, size_t from) const {
  if (entries_.empty()) return {};
  for (size_t pos = from; pos < text.size(); ++pos) {
    const auto b = static_cast<unsigned char>(text[pos]);
    if (first_[b] == first_[b + 1]) continue;
    const Match m = longest_at(text, pos);
    if (m.size > 0) return m;
  }
  return {};
}

TokenId SpecialTokens::find(std::string_view text) const {
  const auto it = std::lower_bound(entries_.begin(), entries_.end(), text,
                                   [](const Entry& e, std::string_view t) { return e.text < t; });
  return it != entries_.end() && it->text == text ? it->id : -1;
}

}  // namespace xh
