// What a vocabulary's tokens stand for, as bytes, and the way back from bytes to the token.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace xh {

// Bytes of every token in one block, and a hash table over those tokens that text may become.
// Filled once, then read from any thread.
class TokenIndex {
 public:
  TokenIndex();
  // Tokens are appended in the order of their ids.
  void append(std::string_view bytes);
  std::string_view bytes(TokenId id) const {
    const auto i = static_cast<size_t>(id);
    return std::string_view(block_).substr(starts_[i], starts_[i + 1] - starts_[i]);
  }
  int32_t size() const { return static_cast<int32_t>(starts_.size()) - 1; }

  void reserve(size_t tokens);
  // Makes the appended token findable. Of tokens with equal bytes the one inserted first stays.
  void insert(TokenId id);
  // -1: not there.
  TokenId find(std::string_view bytes) const;
  size_t longest() const { return longest_; }  // bytes of the longest findable token

 private:
  struct Slot {
    TokenId id = -1;   // -1: free
    uint32_t tag = 0;  // the hash's other half: strangers are told without reading their bytes
  };
  uint64_t hash(std::string_view bytes) const;
  size_t slot_of(uint64_t hash) const { return hash & (slots_.size() - 1); }
  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

  std::string block_;
  std::vector<size_t> starts_{0};
  std::vector<Slot> slots_;
  size_t used_ = 0, longest_ = 0;
  uint64_t seed_;
};

// Finds the special tokens of a text: at each place the longest that matches, leftmost first.
// The sorted list serves as its own trie: each byte narrows a range of it. A place costs at most
// the length of the longest special token, which create() bounds.
class SpecialTokens {
 public:
  void add(std::string text, TokenId id);
  void finish();  // call once after the last add

  struct Match {
    size_t start = std::string_view::npos;  // npos: no more
    size_t size = 0;
    TokenId id = -1;
  };
  Match next(std::string_view text, size_t from) const;
  TokenId find(std::string_view text) const;  // -1: not there
  bool empty() const { return entries_.empty(); }

 private:
  struct Entry {
    std::string text;
    TokenId id;
  };
  Match longest_at(std::string_view text, size_t pos) const;

  std::vector<Entry> entries_;
  uint32_t first_[257] = {};  // entries that begin with byte b: [first_[b], first_[b + 1])
};

}  // namespace xh
