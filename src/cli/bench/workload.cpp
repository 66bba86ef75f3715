#include "cli/bench/workload.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace xh::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

double limit_tokens_per_s(const ModelInfo& info, const MachineRates& rates, const BenchCase& what,
                          uint64_t kv_bytes_per_token, bool int8_weights) {
  // Positions one row sees, on average.
  const double seen = what.depth + what.tokens / 2.0;
  double attention_ops = 0;
  for (const auto& layer : info.kv.layers)
    attention_ops += 2.0 * layer.n_query_heads * (layer.k_dim + layer.v_dim) * seen;
  // A prompt's last row alone needs logits.
  const double head = static_cast<double>(info.head_parameters);
  const double parameters = static_cast<double>(info.linear_parameters) - head +
                            (what.prefill ? head / what.tokens : head);
  const double linear_ops = 2.0 * parameters;
  const double peak = (int8_weights ? rates.int8_gop_s : rates.fp32_gflop_s) * 1e9;
  const double compute_s = (linear_ops + attention_ops) / peak;

  const double bandwidth = rates.read_gb_s * 1e9;
  const double rows = what.prefill ? std::min(what.tokens, info.max_batch_rows) : what.users;
  const double kv_reads = what.prefill || what.shared ? 1.0 : what.users;
  const double memory_s = (static_cast<double>(info.weight_bytes) +
                           kv_reads * seen * static_cast<double>(kv_bytes_per_token)) /
                          bandwidth / rows;
  return 1.0 / std::max(compute_s, memory_s);
}

Result<std::unique_ptr<Workload>> Workload::create(Model& model, KvType kv, int32_t users,
                                                   int32_t positions, int32_t shared) {
  std::unique_ptr<Workload> w(new Workload(model));
  const int32_t pages_each = (positions + kPageTokens - 1) / kPageTokens;
  const int32_t common = shared / kPageTokens, own = pages_each - common;
  XH_TRY(w->kv_, model.make_kv_store(kv, common + own * users));
  w->shared_ = common * kPageTokens;
  w->pages_.resize(static_cast<size_t>(users));
  w->filled_.assign(static_cast<size_t>(users), 0);
  for (size_t u = 0; u < w->pages_.size(); ++u) {
    w->pages_[u].resize(static_cast<size_t>(pages_each));
    std::iota(w->pages_[u].begin(), w->pages_[u].begin() + common, 0);
    std::iota(w->pages_[u].begin() + common, w->pages_[u].end(),
              common + static_cast<PageId>(u) * own);
  }
  return w;
}

void Workload::prefill(int32_t user, int32_t first_pos, int32_t n_tokens) {
  const ModelInfo& info = model_->info();
  std::vector<int32_t> tokens;
  for (int32_t done = 0; done < n_tokens; done += static_cast<int32_t>(tokens.size())) {
    tokens.resize(static_cast<size_t>(std::min(n_tokens - done, info.max_batch_rows)));
    for (auto& t : tokens) t = next_token_ = (next_token_ * 7 + 3) % info.vocab_size;
    const auto rows = static_cast<int32_t>(tokens.size());
    const SequenceRows seq{0, rows, first_pos + done, pages_[static_cast<size_t>(user)]};
    const int32_t last = rows - 1;
    const bool wants_logits = done + rows == n_tokens;
    model_->forward({tokens, {&seq, 1}, {&last, wants_logits ? 1u : 0u}}, *kv_);
  }
}

void Workload::decode(int32_t users, int32_t pos) {
  std::vector<int32_t> tokens(static_cast<size_t>(users)), rows(tokens.size());
  std::vector<SequenceRows> sequences(tokens.size());
  for (int32_t u = 0; u < users; ++u) {
    const auto i = static_cast<size_t>(u);
    tokens[i] = next_token_ = (next_token_ * 7 + 3) % model_->info().vocab_size;
    rows[i] = u;
    sequences[i] = {u, 1, pos, pages_[i]};
  }
  model_->forward({tokens, sequences, rows}, *kv_);
}

double Workload::run(const BenchCase& what) {
  for (int32_t u = 0; u < what.users; ++u) {
    int32_t& filled = filled_[static_cast<size_t>(u)];
    if (what.shared && u > 0) filled = std::max(filled, shared_);
    if (filled < what.depth) {
      prefill(u, filled, what.depth - filled);
      filled = what.depth;
    }
  }
  const auto start = Clock::now();
  if (what.prefill) {
    prefill(0, what.depth, what.tokens);
  } else {
    for (int32_t i = 0; i < what.tokens; ++i) decode(what.users, what.depth + i);
  }
  return what.tokens * (what.prefill ? 1.0 : what.users) / seconds_since(start);
}

}  // namespace xh::cli
