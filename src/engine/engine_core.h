// The engine behind the Client interface: one thread that owns scheduler, pages and requests.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "engine/active_request.h"
#include "engine/disk/kv_disk.h"
#include "engine/engine.h"
#include "engine/page_warmer.h"
#include "engine/scheduler.h"
#include "engine/token_channel.h"

namespace xh {

// Public calls from any thread. Destruction ends every stream with kUnavailable.
class EngineCore final : public Engine {
 public:
  EngineCore(LoadedModel loaded, const EngineOptions& options, std::unique_ptr<KvStore> kv);
  ~EngineCore() override;

  const ClientInfo& info() const override { return loaded_.info; }
  const Tokenizer& tokenizer() const override { return *loaded_.tokenizer; }
  const ChatTemplate* chat_template() const override { return loaded_.chat_template.get(); }
  Result<std::unique_ptr<TokenStream>> submit(GenerateRequest request) override;
  EngineStats stats() const override;
  void drain() override;
  bool drained() const override;

 private:
  using Clock = std::chrono::steady_clock;
  using Requests = std::unordered_map<SequenceId, std::unique_ptr<ActiveRequest>>;

  // All below run on the engine's thread.
  void run();
  void start(Submission submission);
  void drop_cancelled();
  void step();
  void ready_pages();  // some, with all threads
  void finish_expired(const StepPlan& plan);
  void guess_ahead();
  // engine_output.cpp: from logits to tokens
  void look_at(const StepPlan& plan, MatView logits);
  void choose_ahead(const StepPlan& plan, size_t entry, MatView logits, SamplerScratch& scratch);
  void hold_back(const PlanEntry& entry);
  void handle(const StepPlan& plan, size_t entry, MatView logits);
  void take_tokens(const StepPlan& plan, size_t entry, MatView logits);
  void learn_cost(const StepPlan& plan, double ms);
  bool score_prompt(const PlanEntry& entry, ActiveRequest& request);
  void count_prefix(const Sequence& seq);
  // pinning.cpp
  void begin_pins();
  void tell_pins();
  void pin_done(SequenceId id);
  void fail_poisoned(SequenceId id, Error error);
  void leave_queue(int64_t n_prompt);
  void close(SequenceId id);  // its last event has been sent
  void fail_all(const Error& error);
  void update_stats();
  double ms_since_start(Clock::time_point t) const;

  LoadedModel loaded_;
  EngineOptions options_;
  std::unique_ptr<KvStore> kv_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::unique_ptr<KvDisk> disk_;  // may be null
  Scheduler scheduler_;
  Requests requests_;
  std::vector<SamplerScratch> scratch_;  // one per thread of the model
  // What look_at() found: scores by row of logits, choices by entry of the plan, as many as hold.
  std::vector<std::optional<Result<TokenLogprob>>> scores_;
  std::vector<std::vector<Result<ActiveRequest::Choice>>> choices_;
  GuessCost guess_cost_;
  PageWarmer warmer_;
  EngineStats counters_;
  uint64_t seed_base_, seed_count_ = 0;
  Clock::time_point start_ = Clock::now();

  struct PinWork {
    const PinnedPrefix* what;
    Clock::time_point told;  // when the log last heard of it
    bool ready = false;
  };
  std::unordered_map<SequenceId, PinWork> pins_;  // being computed
  std::vector<std::shared_ptr<TokenChannel>> pin_channels_;
  bool idle_ = false;  // nothing to compute until something comes back from disk
  std::atomic<bool> stopping_ = false, draining_ = false;
  std::atomic<int32_t> open_ = 0;           // accepted and not yet ended
  std::atomic<int32_t> queued_ = 0;         // accepted and not started
  std::atomic<int64_t> queued_tokens_ = 0;  // of prompts not started
  std::atomic<uint64_t> rejected_ = 0;
  mutable std::mutex stats_mutex_;
  EngineStats stats_;
  std::thread thread_;
};

}  // namespace xh
