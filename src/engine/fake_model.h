// A model for tests whose answer depends on every token of the history as it finds them in the KV
// pages. The store keeps the token id of each slot, nothing else; logits are a hash of the ids
// read through the sequence's page list. Any mistake with pages (one shared wrongly, overwritten,
// not copied, not computed) changes the output.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "engine/engine.h"
#include "sampling/random.h"

namespace xh::fake {

inline constexpr int32_t kVocab = 101;
inline constexpr TokenId kEnd = 0;
inline constexpr TokenId kPoison = 100;    // in the history: logits are NaN
inline constexpr int32_t kEmptySlot = -1;  // read: the engine is wrong
inline constexpr int32_t kDamaged = -2;    // a flipped bit: logits are NaN

class Store final : public KvStore {
 public:
  explicit Store(int32_t n_pages)
      : slots_(static_cast<size_t>(n_pages) * kPageTokens, kEmptySlot), n_pages_(n_pages) {}
  int32_t n_pages() const override { return n_pages_; }
  uint64_t page_bytes() const override { return kPageTokens * sizeof(int32_t); }
  void copy_page(PageId dst, PageId src, int32_t n_tokens) override {
    for (int32_t i = 0; i < n_tokens; ++i) slot(dst, i) = slot(src, i);
    // What is not copied is rubbish, as in a real store.
    for (int32_t i = n_tokens; i < kPageTokens; ++i) slot(dst, i) = kEmptySlot;
  }
  std::span<std::byte> page_part(PageId page, int32_t) override {
    return std::as_writable_bytes(
        std::span(slots_).subspan(static_cast<size_t>(page) * kPageTokens, kPageTokens));
  }
  int32_t& slot(PageId page, int32_t i) {
    return slots_.at(static_cast<size_t>(page) * kPageTokens + static_cast<size_t>(i));
  }

 private:
  std::vector<int32_t> slots_;
  int32_t n_pages_;
};

// Folds tokens into the state that decides the next one.
inline uint64_t fold(uint64_t state, TokenId token) {
  return mix64(state ^ mix64(static_cast<uint64_t>(token) + 77));
}

inline void logits_of(uint64_t state, float* out) {
  for (int32_t t = 0; t < kVocab; ++t)
    out[t] = static_cast<float>(random_unit(state, static_cast<uint64_t>(t))) * 4.0f;
  out[kPoison] = -50;
  // Ends are rare enough for answers of some length.
  if (state % 8 != 0) out[kEnd] = -50;
}

// A model that copies: the token that followed the last three the time before wins, if there is
// one.
inline void prefer_copy(std::span<const TokenId> history, float* out) {
  const size_t n = history.size();
  for (size_t end = n; end-- > 3;)
    if (std::equal(history.begin() + static_cast<std::ptrdiff_t>(end) - 3,
                   history.begin() + static_cast<std::ptrdiff_t>(end), history.end() - 3)) {
      out[history[end]] = 10;
      return;
    }
}

// What greedy decoding must give.
inline std::vector<TokenId> expected_greedy(const std::vector<TokenId>& prompt, int32_t max_tokens,
                                            bool copying = false, size_t window = 0) {
  std::vector<TokenId> out, history = prompt;
  std::vector<float> logits(kVocab);
  uint64_t state = 0;
  for (TokenId t : prompt) state = fold(state, t);
  while (static_cast<int32_t>(out.size()) < max_tokens) {
    if (window > 0) {
      state = 0;
      for (size_t i = history.size() - std::min(window, history.size()); i < history.size(); ++i)
        state = fold(state, history[i]);
    }
    logits_of(state, logits.data());
    if (copying) prefer_copy(history, logits.data());
    TokenId best = 0;
    for (TokenId t = 1; t < kVocab; ++t)
      if (logits[static_cast<size_t>(t)] > logits[static_cast<size_t>(best)]) best = t;
    if (best == kEnd) break;
    out.push_back(best);
    history.push_back(best);
    state = fold(state, best);
  }
  return out;
}

struct Observed {  // by the model, for tests
  uint64_t rows = 0, steps = 0;
  int32_t widest = 0;
  // A slot was read that nobody wrote, or in a page given back; or two sequences wrote one page.
  bool broken = false;
};

class FakeModel final : public Model {
 public:
  explicit FakeModel(int32_t context = 4096, int32_t step_us = 0, int32_t window = 0)
      : step_us_(step_us) {
    info_.architecture = "fake";
    info_.vocab_size = kVocab;
    info_.context_length = context;
    info_.max_batch_rows = 512;
    info_.window = window;
  }
  const ModelInfo& info() const override { return info_; }
  Result<std::unique_ptr<KvStore>> make_kv_store(KvType, int32_t n_pages) override {
    auto store = std::make_unique<Store>(n_pages);
    store_ = store.get();
    return store;
  }
  MatView forward(const Batch& batch, KvStore& kv) override;
  void use_threads(int32_t n) { pool_ = std::make_unique<ThreadPool>(n); }
  int32_t host_threads() const override { return pool_ ? pool_->size() : 1; }
  void for_each(int64_t n_items, const Compute::HostWork& work) override {
    if (!pool_) return Model::for_each(n_items, work);
    pool_->run([&](int32_t thread) {
      for (int64_t i = thread; i < n_items; i += pool_->size()) work(i, thread);
    });
  }

  Store* store_ = nullptr;
  bool copying = false;
  std::shared_ptr<Observed> observed = std::make_shared<Observed>();

 private:
  ModelInfo info_;
  int32_t step_us_;
  std::vector<float> logits_;
  std::unique_ptr<ThreadPool> pool_;
};

LoadedModel loaded(std::unique_ptr<FakeModel> model);

// Tokens 1 … 95 are printable ASCII (id + 31), 96 … 99 the bytes of an emoji, one token each.
std::unique_ptr<Tokenizer> make_tokenizer();
std::string text_of(const std::vector<TokenId>& tokens);

}  // namespace xh::fake
