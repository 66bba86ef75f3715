#include "engine/engine.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "engine/engine_core.h"
#include "engine/kv_budget.h"

namespace xh {
namespace {

Result<void> check_options(const EngineOptions& o) {
  auto positive = [](int64_t value, int64_t most, const char* field) -> Result<void> {
    if (value >= 1 && value <= most) return {};
    return fail(ErrorCode::kInvalidArgument, std::to_string(value) + " is out of range", field,
                "use 1 to " + std::to_string(most));
  };
  XH_TRY_VOID(positive(o.max_batch_rows, 1 << 16, "max_batch_rows"));
  XH_TRY_VOID(positive(o.max_sequences, 4096, "max_sequences"));
  XH_TRY_VOID(positive(o.max_waiting, 1 << 20, "max_waiting"));
  if (o.context_length < 0)
    return fail(ErrorCode::kInvalidArgument, "is negative", "context_length", "");
  if (!(o.stall_ms > 0))
    return fail(ErrorCode::kInvalidArgument, "must be positive", "stall_ms", "");
  return {};
}

// Pages that the budget allows, and that can be of use.
Result<int32_t> choose_pages(const EngineOptions& o, uint64_t page_bytes, int32_t context) {
  uint64_t budget = o.kv_budget_bytes;
  if (budget == 0) {
    // Two fifths of what is free: the weights' file cache and the rest of the machine need theirs.
    budget = available_memory_bytes() / 5 * 2;
    if (budget == 0) budget = 1ull << 30;
  }
  uint64_t useful =
      static_cast<uint64_t>(o.max_sequences) * static_cast<uint64_t>(pages_for(context) + 1);
  for (const PinnedPrefix& pin : o.pins)
    useful += static_cast<uint64_t>(pages_for(static_cast<int32_t>(pin.tokens.size())));
  const uint64_t pages = std::min(
      {budget / std::max<uint64_t>(page_bytes, 1), useful, static_cast<uint64_t>(1) << 30});
  if (pages < 2)
    return fail(ErrorCode::kOutOfMemory,
                "a budget of " + std::to_string(budget) + " bytes holds no keys and values: " +
                    std::to_string(kPageTokens) + " tokens take " + std::to_string(page_bytes),
                "kv_budget", "give at least " + std::to_string(page_bytes * 64) + " bytes");
  return static_cast<int32_t>(pages);
}

Result<int32_t> pinned_pages(const EngineOptions& o, int32_t n_pages) {
  int64_t pages = 0;
  for (const PinnedPrefix& pin : o.pins)
    pages += pages_for(static_cast<int32_t>(pin.tokens.size()));
  if (pages * 2 > n_pages)
    return fail(ErrorCode::kOutOfMemory,
                "pinned documents would take " + std::to_string(pages) + " of " +
                    std::to_string(n_pages) + " pages: at most half may be pinned",
                "pin", "give more memory with --kv-budget, or pin less");
  return static_cast<int32_t>(pages);
}

Result<void> check_pins(const EngineOptions& o, int32_t context, int32_t vocab) {
  for (const PinnedPrefix& pin : o.pins) {
    if (!o.prefix_cache)
      return fail(ErrorCode::kInvalidArgument, "needs the prefix cache", "pin " + pin.name, "");
    const auto n = static_cast<int64_t>(pin.tokens.size());
    if (n < 1 || n >= context)
      return fail(ErrorCode::kTooLarge,
                  std::to_string(n) + " tokens do not fit the context of " +
                      std::to_string(context) + " with an answer",
                  "pin " + pin.name, "use a longer context, or a shorter text");
    for (TokenId t : pin.tokens)
      if (t < 0 || t >= vocab)
        return fail(ErrorCode::kInvalidArgument, "there is no token " + std::to_string(t),
                    "pin " + pin.name, "");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(LoadedModel loaded, const EngineOptions& given) {
  EngineOptions options = given;
  XH_TRY_VOID(check_options(options));
  const ModelInfo& model = loaded.model->info();
  int32_t context = options.context_length > 0 ? options.context_length : model.context_length;
  if (context > model.context_length)
    return fail(ErrorCode::kInvalidArgument,
                std::to_string(context) + " is more than the model's " +
                    std::to_string(model.context_length),
                "context_length", "use at most that");
  if (model.max_batch_rows > 0)
    options.max_batch_rows = std::min(options.max_batch_rows, model.max_batch_rows);
  // Each running sequence decodes in every step.
  options.max_sequences = std::min(options.max_sequences, options.max_batch_rows);
  if (model.max_logit_rows > 0 && options.max_sequences > std::max(1, model.max_logit_rows - 2)) {
    options.max_sequences = std::max(1, model.max_logit_rows - 2);
    log::warn("the model was loaded for {} sequences at once", options.max_sequences);
  }

  XH_TRY(auto probe, loaded.model->make_kv_store(options.kv_type, 1));
  const uint64_t page_bytes = probe->page_bytes();
  probe.reset();
  XH_TRY(const int32_t pages, choose_pages(options, page_bytes, context));
  XH_TRY(const int32_t pinned, pinned_pages(options, pages));
  // A sequence that is alone must find pages for its whole context, pinned ones included, or for
  // its window beside those.
  const int64_t room = int64_t{pages} * kPageTokens;
  if (context > room &&
      pages_held(context, model.window, options.max_batch_rows) > pages - pinned) {
    log::warn("key/value memory for {} tokens: the context is {} instead of {}", room, room,
              context);
    context = static_cast<int32_t>(room);
  }
  XH_TRY_VOID(check_pins(options, context, model.vocab_size));
  XH_TRY(auto kv, loaded.model->make_kv_store(options.kv_type, pages));
  loaded.info.context_length = context;
  loaded.info.kv_type = kv_type_name(options.kv_type);
  loaded.info.description +=
      ", " + loaded.info.kv_type + " keys and values in " + std::to_string(pages) + " pages";
  loaded.info.vocab_size = model.vocab_size;
  return std::make_unique<EngineCore>(std::move(loaded), options, std::move(kv));
}

}  // namespace xh
