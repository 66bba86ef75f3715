#include "engine/active_request.h"

#include <utility>

#include "sampling/logprobs.h"

namespace xh {
namespace {

double ms_between(ActiveRequest::Clock::time_point a, ActiveRequest::Clock::time_point b) {
  return std::chrono::duration<double, std::milli>(b - a).count();
}

Result<TokenLogprob> token_logprob(std::span<const float> logits, TokenId id, int32_t top_n,
                                   SamplerScratch& scratch) {
  XH_TRY(auto row, row_logprobs(logits, id, top_n, scratch));
  return TokenLogprob{id, row.chosen, std::move(row.top)};
}

}  // namespace

ActiveRequest::ActiveRequest(const GenerateRequest& request, std::shared_ptr<TokenChannel> channel,
                             const Tokenizer& tokenizer, uint64_t seed, Clock::time_point arrived)
    : channel_(std::move(channel)),
      tokenizer_(tokenizer),
      sampler_(request.sampling, seed),
      detokenizer_(tokenizer, request.show_special),
      stops_(request.stop),
      max_tokens_(request.max_tokens),
      ignore_end_(request.ignore_end),
      logprobs_wanted_(request.logprobs),
      prompt_logprobs_wanted_(request.prompt_logprobs),
      arrived_(arrived) {
  sampler_.see_prompt(request.prompt);
  usage_.prompt_tokens = static_cast<int32_t>(request.prompt.size());
  if (wants_prompt_logprobs()) event_.prompt_logprobs.emplace_back();  // the first has no past
}

Result<TokenLogprob> ActiveRequest::score(std::span<const float> logits, TokenId next,
                                          SamplerScratch& scratch) const {
  return token_logprob(logits, next, prompt_logprobs_wanted_, scratch);
}

Result<ActiveRequest::Choice> ActiveRequest::choose(std::span<const float> logits, int32_t position,
                                                    SamplerScratch& scratch) const {
  Choice out;
  XH_TRY(out.token, sampler_.sample(logits, static_cast<uint64_t>(position), scratch));
  if (logprobs_wanted_ >= 0) {
    XH_TRY(out.logprob, token_logprob(logits, out.token, logprobs_wanted_, scratch));
  }
  return out;
}

bool ActiveRequest::accept(Choice choice) {
  const TokenId token = choice.token;
  if (usage_.completion_tokens++ == 0) first_token_at_ = Clock::now();
  sampler_.accept(token);
  if (!ignore_end_ && tokenizer_.is_end(token)) {
    reason_ = FinishReason::kStop;
    return true;
  }
  const std::string text = detokenizer_.push(token);
  const size_t text_begin = text_made_;
  text_made_ += text.size();
  waiting_.push_back({token, text_begin, text_made_, std::move(choice.logprob)});
  if (stops_.push(text, event_.text)) {
    reason_ = FinishReason::kStop;
    event_.matched_stop = stops_.matched();
    return true;
  }
  release_tokens(stops_.released());
  if (usage_.completion_tokens < max_tokens_) return false;
  reason_ = FinishReason::kLength;
  return true;
}

void ActiveRequest::release_tokens(size_t text_sent) {
  while (!waiting_.empty() && waiting_.front().text_end <= text_sent) {
    event_.tokens.push_back(waiting_.front().id);
    if (waiting_.front().logprob) event_.logprobs.push_back(std::move(*waiting_.front().logprob));
    waiting_.pop_front();
  }
}

void ActiveRequest::flush() {
  // Prompt log-probabilities belong to the first event, complete.
  if (usage_.completion_tokens == 0 || (event_.text.empty() && event_.tokens.empty())) return;
  stamp_usage();
  channel_->push(std::exchange(event_, {}));
}

void ActiveRequest::finish() {
  if (event_.matched_stop.empty()) {  // nothing can be completed any more: send what was held
    std::string rest = detokenizer_.finish();
    text_made_ += rest.size();
    if (stops_.push(rest, event_.text)) {
      event_.matched_stop = stops_.matched();
      reason_ = FinishReason::kStop;
    } else {
      event_.text += stops_.finish();
      release_tokens(text_made_);
    }
  }
  // A token that began before the stop string is part of the answer.
  while (!waiting_.empty() && waiting_.front().text_begin < stops_.released())
    release_tokens(waiting_.front().text_end);
  event_.finish = reason_;
  stamp_usage();
  channel_->push(std::exchange(event_, {}));
}

void ActiveRequest::fail(Error error) {
  event_.finish =
      error.code == ErrorCode::kCancelled ? FinishReason::kCancelled : FinishReason::kError;
  event_.error = std::move(error);
  stamp_usage();
  channel_->push(std::exchange(event_, {}));
}

void ActiveRequest::started(Clock::time_point now) {
  started_at_ = now;
}

void ActiveRequest::stamp_usage() {
  const auto now = Clock::now();
  const bool started = was_started(), first = usage_.completion_tokens > 0;
  usage_.queue_ms = ms_between(arrived_, started ? started_at_ : now);
  usage_.prefill_ms = started ? ms_between(started_at_, first ? first_token_at_ : now) : 0;
  usage_.decode_ms = first ? ms_between(first_token_at_, now) : 0;
  event_.usage = usage_;
}

}  // namespace xh
