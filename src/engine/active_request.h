// One request while the engine works on it: from logits to the events of its stream.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <span>

#include "engine/client.h"
#include "engine/speculation.h"
#include "engine/stop_matcher.h"
#include "engine/token_channel.h"
#include "sampling/sampler.h"

namespace xh {

// Owned by the engine's thread.
class ActiveRequest {
 public:
  using Clock = std::chrono::steady_clock;

  ActiveRequest(const GenerateRequest& request, std::shared_ptr<TokenChannel> channel,
                const Tokenizer& tokenizer, uint64_t seed, Clock::time_point arrived);

  bool cancelled() const { return channel_->cancelled(); }
  bool wants_prompt_logprobs() const { return prompt_logprobs_wanted_ >= 0; }

  struct Choice {
    TokenId token = 0;
    std::optional<TokenLogprob> logprob;
  };
  // These two change nothing and may run on other threads, for several rows at once.
  // Logits of the prompt's position before `next`. kInternal: not finite.
  Result<TokenLogprob> score(std::span<const float> logits, TokenId next,
                             SamplerScratch& scratch) const;
  // Chooses the token that follows `position - 1` tokens; kInternal: logits not finite.
  Result<Choice> choose(std::span<const float> logits, int32_t position,
                        SamplerScratch& scratch) const;
  // Whether choose() must wait until the token before is accepted.
  bool chooses_in_order() const { return sampler_.has_memory(); }

  void take_score(TokenLogprob scored) { event_.prompt_logprobs.emplace_back(std::move(scored)); }
  // Sends a chosen token on its way. True: that was the last one, take() everything and finish().
  bool accept(Choice choice);
  // Sends what is ready.
  void flush();
  // The last event.
  void finish();
  void fail(Error error);

  void started(Clock::time_point now);  // first admitted
  bool was_started() const { return started_at_ != Clock::time_point{}; }
  void set_cached_tokens(int32_t n) { usage_.cached_tokens = n; }
  int32_t n_prompt() const { return usage_.prompt_tokens; }
  int32_t n_left() const { return max_tokens_ - usage_.completion_tokens; }
  Speculator& speculator() { return speculator_; }
  int32_t n_generated() const { return usage_.completion_tokens; }

 private:
  struct Waiting {  // a token whose text is not sent yet
    TokenId id;
    size_t text_begin, text_end;  // of its text, in the whole answer
    std::optional<TokenLogprob> logprob;
  };
  void release_tokens(size_t text_sent);
  void stamp_usage();

  std::shared_ptr<TokenChannel> channel_;
  const Tokenizer& tokenizer_;
  Sampler sampler_;
  Detokenizer detokenizer_;
  StopMatcher stops_;
  Speculator speculator_;
  int32_t max_tokens_;
  bool ignore_end_;
  int32_t logprobs_wanted_, prompt_logprobs_wanted_;
  std::deque<Waiting> waiting_;
  size_t text_made_ = 0;  // bytes out of the detokenizer
  StreamEvent event_;     // being filled
  std::optional<FinishReason> reason_;
  Usage usage_;
  Clock::time_point arrived_, started_at_{}, first_token_at_{};
};

}  // namespace xh
