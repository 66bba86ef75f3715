#include "engine/fake_model.h"

#include <chrono>
#include <thread>

namespace xh::fake {
namespace {

class FakeTokenizer final : public Tokenizer {
 public:
  FakeTokenizer() : Tokenizer(make_spec()) {}
  std::vector<TokenId> encode(std::string_view text, EncodeOptions) const override {
    std::vector<TokenId> out;
    for (char c : text) out.push_back(find(std::string_view(&c, 1)));
    return out;
  }
  std::string token_bytes(TokenId id, bool special) const override {
    if (id < 0 || id >= vocab_size()) return "";
    if (id == kEnd || id == kPoison) return special ? spec().tokens[static_cast<size_t>(id)] : "";
    return spec().tokens[static_cast<size_t>(id)];
  }
  TokenId find(std::string_view token) const override {
    for (size_t i = 0; i < spec().tokens.size(); ++i)
      if (spec().tokens[i] == token) return static_cast<TokenId>(i);
    return -1;
  }

 private:
  static TokenizerSpec make_spec() {
    TokenizerSpec spec;
    spec.tokens.resize(kVocab);
    for (int i = 1; i <= 95; ++i)
      spec.tokens[static_cast<size_t>(i)] = std::string(1, char(i + 31));
    const std::string emoji = "\xF0\x9F\x90\xAF";
    for (size_t i = 0; i < 4; ++i) spec.tokens[96 + i] = emoji.substr(i, 1);
    spec.tokens[kEnd] = "<end>";
    spec.tokens[kPoison] = "<poison>";
    spec.eos = kEnd;
    spec.end_tokens = {kEnd};
    return spec;
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer() {
  return std::make_unique<FakeTokenizer>();
}

std::string text_of(const std::vector<TokenId>& tokens) {
  static const auto tokenizer = make_tokenizer();
  Detokenizer detokenizer(*tokenizer);
  std::string out;
  for (TokenId t : tokens) out += detokenizer.push(t);
  return out + detokenizer.finish();
}

LoadedModel loaded(std::unique_ptr<FakeModel> model) {
  LoadedModel out;
  out.info.model_name = "fake";
  out.info.architecture = "fake";
  out.model = std::move(model);
  out.tokenizer = make_tokenizer();
  return out;
}

MatView FakeModel::forward(const Batch& batch, KvStore& kv) {
  auto& store = static_cast<Store&>(kv);
  ++observed->steps;
  observed->rows += batch.tokens.size();
  observed->widest = std::max(observed->widest, static_cast<int32_t>(batch.tokens.size()));
  std::set<PageId> written;
  for (const SequenceRows& s : batch.sequences) {
    std::set<PageId> own;
    for (int32_t i = 0; i < s.n_rows; ++i) {
      const int32_t pos = s.first_pos + i;
      const PageId page = s.pages[static_cast<size_t>(pos / kPageTokens)];
      store.slot(page, pos % kPageTokens) = batch.tokens[static_cast<size_t>(s.first_row + i)];
      own.insert(page);
    }
    for (PageId page : own) observed->broken |= !written.insert(page).second;
  }
  logits_.assign(batch.logit_rows.size() * kVocab, 0);
  for (size_t l = 0; l < batch.logit_rows.size(); ++l) {
    const int32_t row = batch.logit_rows[l];
    const SequenceRows* s = nullptr;
    for (const SequenceRows& candidate : batch.sequences)
      if (row >= candidate.first_row && row < candidate.first_row + candidate.n_rows)
        s = &candidate;
    uint64_t state = 0;
    bool poisoned = false;
    std::vector<TokenId> history;
    const int32_t pos = s->first_pos + row - s->first_row;
    for (int32_t p = info_.window > 0 ? std::max(0, pos + 1 - info_.window) : 0; p <= pos; ++p) {
      const PageId page = s->pages[static_cast<size_t>(p / kPageTokens)];
      const int32_t token = page == kNoPage ? kEmptySlot : store.slot(page, p % kPageTokens);
      observed->broken |= token == kEmptySlot;
      poisoned |= token == kPoison || token == kDamaged;
      state = fold(state, token);
      history.push_back(token);
    }
    float* out = logits_.data() + l * kVocab;
    logits_of(state, out);
    if (copying && !poisoned) prefer_copy(history, out);
    if (poisoned) out[17] = std::numeric_limits<float>::quiet_NaN();
  }
  // Costs like a machine bound by memory: much per step, little per row.
  if (step_us_ > 0)
    std::this_thread::sleep_for(std::chrono::microseconds(
        step_us_ + step_us_ * static_cast<int64_t>(batch.tokens.size()) / 16));
  return {logits_.data(), static_cast<int64_t>(batch.logit_rows.size()), kVocab, kVocab};
}

}  // namespace xh::fake
