#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/engine_option.h"
#include "cli/interrupt.h"
#include "cli/model_option.h"
#include "cli/npy.h"
#include "cli/usage.h"

namespace xh::cli {
namespace {

struct Options {
  EngineChoice engine;
  std::vector<TokenId> ids;
  std::string text, out;
};

Result<void> check_ids(const std::vector<TokenId>& ids, const ModelInfo& info) {
  if (ids.empty())
    return fail(ErrorCode::kInvalidArgument, "no token is given", "logits",
                "Give --ids 1,2,3 or --text.");
  if (static_cast<int64_t>(ids.size()) > info.context_length)
    return fail(ErrorCode::kTooLarge,
                fmt::format("{} tokens, but the context holds {}", ids.size(), info.context_length),
                "--ids");
  for (const TokenId id : ids) {
    if (id < 0 || id >= info.vocab_size)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{} is no token of this model (0 to {})", id, info.vocab_size - 1),
                  "--ids");
  }
  return {};
}

// Chunks as large as one forward can be with a row of logits for each token.
Result<void> write_logits(Model& model, KvStore& kv, const std::vector<TokenId>& ids,
                          std::span<const PageId> pages, NpyWriter& out) {
  const Interrupt interrupt;
  ProgressBar bar;
  const ModelInfo& info = model.info();
  const size_t chunk =
      static_cast<size_t>(std::max(1, std::min(info.max_batch_rows, info.max_logit_rows)));
  for (size_t at = 0; at < ids.size(); at += chunk) {
    if (Interrupt::asked()) return fail(ErrorCode::kCancelled, "stopped", "logits");
    bar.update("tokens", at, ids.size());
    const auto part = std::span(ids).subspan(at, std::min(chunk, ids.size() - at));
    const SequenceRows sequence{0, static_cast<int32_t>(part.size()), static_cast<int32_t>(at),
                                pages};
    std::vector<int32_t> rows(part.size());
    std::iota(rows.begin(), rows.end(), 0);
    const MatView logits = model.forward({part, {&sequence, 1}, rows}, kv);
    for (int64_t r = 0; r < logits.rows; ++r)
      XH_TRY_VOID(out.append({logits.row(r), static_cast<size_t>(info.vocab_size)}));
  }
  return {};
}

Result<void> run_logits(const Options& options) {
  XH_TRY(const auto path, model_path(options.engine.model));
  XH_TRY(const KvType kv_type, kv_type_from_name(options.engine.kv));
  XH_TRY(LoadedModel loaded, load_model(path.string(), {.backend = options.engine.backend,
                                                        .threads = options.engine.threads}));
  const auto ids = options.text.empty() ? options.ids : loaded.tokenizer->encode(options.text);
  const ModelInfo& info = loaded.model->info();
  XH_TRY_VOID(check_ids(ids, info));

  std::vector<PageId> pages((ids.size() + kPageTokens - 1) / kPageTokens);
  std::iota(pages.begin(), pages.end(), 0);
  XH_TRY(const auto kv, loaded.model->make_kv_store(kv_type, static_cast<int32_t>(pages.size())));
  XH_TRY(auto out,
         NpyWriter::create(options.out, static_cast<int64_t>(ids.size()), info.vocab_size));
  XH_TRY_VOID(write_logits(*loaded.model, *kv, ids, pages, out));
  XH_TRY_VOID(out.close());
  fmt::print("{}: float32 ({}, {})\n", options.out, ids.size(), info.vocab_size);
  return {};
}

}  // namespace

CommandBody set_up_logits(CLI::App& self) {
  auto options = std::make_shared<Options>();
  options->engine.kv = "f32";
  auto* ids = self.add_option("--ids", options->ids, "Token ids, separated by commas")
                  ->delimiter(',')
                  ->check(number_given);
  self.add_option("--text", options->text, "Text instead of ids")->excludes(ids);
  self.add_option("--out,-o", options->out, "The .npy file to write")
      ->required()
      ->type_name("FILE");
  add_model_option(self, options->engine.model);
  self.add_option("--threads,-t", options->engine.threads, "Threads (0: one per physical core)")
      ->check(CLI::Range(0, 1024));
  self.add_option("--kv", options->engine.kv, "Keys and values kept as f32, f16, q8 or q4")
      ->check(CLI::IsMember({"f32", "f16", "q8", "q4"}))
      ->capture_default_str();
  self.add_option("--backend", options->engine.backend, "cpu, or reference: slow and exact")
      ->check(CLI::IsMember({"cpu", "reference"}));
  return [options] { return run_logits(*options); };
}

}  // namespace xh::cli
