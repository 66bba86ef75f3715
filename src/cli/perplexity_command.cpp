// `xiaohu perplexity`: how well a model predicts a text, and how far the fast path strays from the
// plain float one on every token.
#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/model_option.h"
#include "engine/engine.h"

namespace xh::cli {
namespace {

struct Options {
  std::string model, file, kv = "q8", backend = "cpu";
  int32_t threads = 0;
  int32_t window = 512;
  int32_t max_windows = 0;
  bool against_float = false;
  bool json = false;
};

// A model with pages for one window.
struct Runner {
  LoadedModel loaded;
  std::unique_ptr<KvStore> kv;
  std::vector<PageId> pages;

  static Result<Runner> open(const std::string& path, const Options& o, const std::string& backend,
                             const std::string& kv_name) {
    Runner r;
    XH_TRY(KvType type, kv_type_from_name(kv_name));
    XH_TRY(r.loaded, load_model(path, {.backend = backend, .threads = o.threads}));
    r.pages.resize(static_cast<size_t>((o.window + kPageTokens - 1) / kPageTokens));
    std::iota(r.pages.begin(), r.pages.end(), 0);
    XH_TRY(r.kv, r.loaded.model->make_kv_store(type, static_cast<int32_t>(r.pages.size())));
    return r;
  }

  // Logits (tokens.size(), vocab) of positions first …; valid until the next call.
  MatView forward(std::span<const TokenId> tokens, int32_t first) {
    const auto n = static_cast<int32_t>(tokens.size());
    const SequenceRows seq{0, n, first, pages};
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    return loaded.model->forward({tokens, {&seq, 1}, rows}, *kv);
  }
};

// log Σ exp(logits), in double.
double log_sum(const float* logits, int32_t n) {
  const double top = *std::max_element(logits, logits + n);
  double sum = 0;
  for (int32_t i = 0; i < n; ++i) sum += std::exp(logits[i] - top);
  return top + std::log(sum);
}

// Σ p·(log p − log q): p from the float path, q from the fast one.
double divergence(const float* p, const float* q, int32_t n) {
  const double lp = log_sum(p, n), lq = log_sum(q, n);
  double kl = 0;
  for (int32_t i = 0; i < n; ++i) kl += std::exp(p[i] - lp) * ((p[i] - lp) - (q[i] - lq));
  return std::max(0.0, kl);
}

struct Score {
  double nll = 0, float_nll = 0, kl = 0;
  int64_t tokens = 0, same_best = 0;
};

// Scores the second half of a window: every token there has at least half a window before it.
void score_window(Runner& fast, Runner* plain, std::span<const TokenId> window, Score& score) {
  const int32_t vocab = fast.loaded.model->info().vocab_size;
  const int32_t step = fast.loaded.model->info().max_logit_rows;
  const auto n = static_cast<int32_t>(window.size());
  for (int32_t at = 0; at < n; at += step) {
    const auto part =
        window.subspan(static_cast<size_t>(at), static_cast<size_t>(std::min(step, n - at)));
    MatView logits = fast.forward(part, at);
    MatView exact = plain != nullptr ? plain->forward(part, at) : MatView{};
    for (int64_t r = 0; r < logits.rows; ++r) {
      const int64_t next = at + r + 1;
      if (next < n / 2 || next >= n) continue;
      const TokenId target = window[static_cast<size_t>(next)];
      const float* row = logits.row(r);
      score.nll += log_sum(row, vocab) - row[target];
      ++score.tokens;
      if (plain == nullptr) continue;
      const float* truth = exact.row(r);
      score.float_nll += log_sum(truth, vocab) - truth[target];
      score.kl += divergence(truth, row, vocab);
      score.same_best += std::max_element(row, row + vocab) - row ==
                         std::max_element(truth, truth + vocab) - truth;
    }
  }
}

void report(const Options& o, const Score& s) {
  const auto n = static_cast<double>(s.tokens);
  const double ppl = std::exp(s.nll / n), exact = std::exp(s.float_nll / n);
  if (o.json) {
    boost::json::object out{{"perplexity", ppl}, {"tokens", s.tokens}};
    if (o.against_float) {
      out["float_perplexity"] = exact;
      out["relative_difference"] = ppl / exact - 1;
      out["kl_per_token"] = s.kl / n;
      out["same_best_token"] = static_cast<double>(s.same_best) / n;
    }
    fmt::print("{}\n", boost::json::serialize(out));
    return;
  }
  fmt::print("perplexity        {:.4f} over {} tokens\n", ppl, s.tokens);
  if (!o.against_float) return;
  fmt::print("float path        {:.4f} ({:+.3f}%)\n", exact, 100 * (ppl / exact - 1));
  fmt::print("KL divergence     {:.6f} nats per token\n", s.kl / n);
  fmt::print("same best token   {:.2f}%\n", 100 * static_cast<double>(s.same_best) / n);
}

Result<void> perplexity(const Options& o) {
  std::ifstream in(o.file, std::ios::binary);
  if (!in) return fail(ErrorCode::kNotFound, "cannot read the text", o.file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  XH_TRY(auto path, model_path(o.model));
  XH_TRY(Runner fast, Runner::open(path, o, o.backend, o.kv));
  std::optional<Runner> plain;
  if (o.against_float) {
    XH_TRY(plain, Runner::open(path, o, "reference", "f32"));
  }
  const auto ids = fast.loaded.tokenizer->encode(text);
  const auto window = static_cast<size_t>(o.window);
  size_t windows = ids.size() / window;
  if (o.max_windows > 0) windows = std::min(windows, static_cast<size_t>(o.max_windows));
  if (windows == 0)
    return fail(ErrorCode::kInvalidArgument,
                "the text has only " + std::to_string(ids.size()) + " tokens", o.file,
                "give a longer text or a smaller --window");
  Score score;
  ProgressBar progress;
  for (size_t w = 0; w < windows; ++w) {
    progress.update("scoring", w, windows);
    score_window(fast, plain ? &*plain : nullptr, std::span(ids).subspan(w * window, window),
                 score);
  }
  progress.clear();
  report(o, score);
  return {};
}

}  // namespace

CommandBody set_up_perplexity(CLI::App& self) {
  auto o = std::make_shared<Options>();
  add_model_option(self, o->model);
  self.add_option("file", o->file, "The text")->required();
  self.add_option("-t,--threads", o->threads, "Threads (0: one per physical core)")
      ->check(CLI::Range(0, 1024));
  self.add_option("--backend", o->backend, "cpu or reference")->capture_default_str();
  self.add_option("--kv", o->kv, "Keys and values as f32, f16, q8 or q4")->capture_default_str();
  self.add_option("--window", o->window, "Tokens per window; the second half is scored")
      ->check(CLI::Range(16, 1 << 20))
      ->capture_default_str();
  self.add_option("--max-windows", o->max_windows, "Stop after this many (0: all)")
      ->check(CLI::Range(0, 1 << 30));
  self.add_flag("--against-float", o->against_float,
                "Also run the reference backend and report how far the two are apart");
  self.add_flag("--json", o->json, "One JSON object instead of lines");
  return [o]() { return perplexity(*o); };
}

}  // namespace xh::cli
