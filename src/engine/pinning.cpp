// Pinned documents: requests of the engine's own whose prompts stay.
#include "base/log.h"
#include "engine/engine_core.h"

namespace xh {
namespace {
const std::string kPinTenant("\0pins", 5);  // no client's: theirs have no zero byte
constexpr auto kTellEvery = std::chrono::seconds(5);
}  // namespace

// Before the thread starts.
void EngineCore::begin_pins() {
  counters_.pins_wanted = stats_.pins_wanted = static_cast<int32_t>(options_.pins.size());
  for (size_t i = 0; i < options_.pins.size(); ++i) {
    GenerateRequest request;
    request.prompt = options_.pins[i].tokens;
    request.max_tokens = 1;
    request.sampling.temperature = 0;
    request.tenant = kPinTenant;
    ++queued_;
    queued_tokens_ += static_cast<int64_t>(request.prompt.size());
    ++open_;
    auto channel = pin_channels_.emplace_back(std::make_shared<TokenChannel>());
    inbox_->post({std::move(request), std::move(channel), Clock::now(), static_cast<int32_t>(i)});
  }
}

void EngineCore::tell_pins() {
  const auto now = Clock::now();
  for (auto& [id, pin] : pins_) {
    const Sequence& seq = *scheduler_.find(id);
    if (now - pin.told < kTellEvery) continue;
    pin.told = now;
    log::info("pinning {}: {} of {} tokens", pin.what->name, seq.computed, seq.n_prompt);
  }
}

void EngineCore::pin_done(SequenceId id) {
  PinWork& pin = pins_.at(id);
  const Sequence& seq = *scheduler_.find(id);
  pin.ready = scheduler_.pin(id);
  if (!pin.ready) return;
  ++counters_.pins_ready;
  log::info("pinned {}: {} tokens, {} of them were on disk", pin.what->name, seq.n_prompt,
            seq.restored_tokens);
}

}  // namespace xh
