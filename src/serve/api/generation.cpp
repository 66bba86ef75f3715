#include "serve/api/generation.h"

#include <openssl/rand.h>

#include "base/log.h"

namespace xh::serve {
namespace {

constexpr size_t kMaxStepBytes = 64u << 10;  // then the connection writes before we go on

}  // namespace

void append_event(std::string& out, const boost::json::object& data) {
  out += "data: ";
  out += boost::json::serialize(data);
  out += "\n\n";
}

const char* finish_reason_name(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

std::string make_id(std::string_view prefix) {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
  unsigned char bytes[24] = {};
  RAND_bytes(bytes, sizeof bytes);
  std::string id(prefix);
  for (unsigned char byte : bytes) id += kLetters[byte % kLetters.size()];
  return id;
}

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

ApiResult<void> Generation::submit(GenerateRequest request) {
  auto tokens = service_.client.submit(std::move(request));
  if (!tokens) return std::unexpected(ApiError(tokens.error()));
  streams_.push_back({.tokens = std::move(*tokens)});
  ++open_;
  return {};
}

void Generation::on_ready(std::function<void()> callback) {
  for (Stream& stream : streams_) {
    if (stream.tokens) stream.tokens->on_ready(callback);
  }
}

void Generation::note_time(size_t index) {
  const auto now = Clock::now();
  Stream& stream = streams_[index];
  if (stream.last == Clock::time_point{}) {
    service_.metrics.first_token.observe(std::chrono::duration<double>(now - started_).count());
  } else {
    service_.metrics.between_tokens.observe(
        std::chrono::duration<double>(now - stream.last).count());
  }
  stream.last = now;
}

// What was generated and nobody has read counts as well.
void Generation::leave(Stream& stream) {
  if (!stream.tokens) return;
  while (auto event = stream.tokens->poll()) stream.usage = event->usage;
  stream.tokens.reset();
}

void Generation::fail(Step& step, const ApiError& error) {
  for (Stream& stream : streams_) leave(stream);
  open_ = 0;
  step.done = true;
  step.more = false;
  if (!streaming_) {
    step.whole = error_response(error);
    return;
  }
  append_event(step.bytes, error_body(error));
  step.bytes += "data: [DONE]\n\n";
}

void Generation::pump(size_t index, Step& step) {
  auto& tokens = streams_[index].tokens;
  while (tokens) {
    if (step.bytes.size() > kMaxStepBytes) {
      step.more = true;
      return;
    }
    std::optional<StreamEvent> event = tokens->poll();
    if (!event) return;
    if (!event->tokens.empty()) note_time(index);
    streams_[index].usage = event->usage;
    if (event->finish) {
      if (event->error || *event->finish == FinishReason::kError ||
          *event->finish == FinishReason::kCancelled) {
        const Error unknown{ErrorCode::kUnavailable, "The generation was stopped by the server."};
        return fail(step, ApiError(event->error.value_or(unknown)));
      }
      tokens.reset();
      --open_;
    }
    take(index, *event, step.bytes);
  }
}

Generation::Step Generation::advance() {
  Step step;
  if (!begun_) {
    begun_ = true;
    if (streaming_) begin(step.bytes);
  }
  for (size_t i = 0; i < streams_.size() && !step.done; ++i) pump(i, step);
  if (step.done || open_ > 0) return step;
  step.done = true;
  if (!streaming_) {
    step.whole = HttpResponse{.body = boost::json::serialize(whole())};
    return step;
  }
  if (include_usage_) {
    boost::json::object last = empty_chunk();
    last["usage"] = usage_object();
    append_event(step.bytes, last);
  }
  step.bytes += "data: [DONE]\n\n";
  return step;
}

AnswerNotes Generation::notes() {
  for (Stream& stream : streams_) leave(stream);
  return {prompt_tokens_, completion_tokens()};
}

int64_t Generation::completion_tokens() const {
  int64_t sum = 0;
  for (const Stream& stream : streams_) sum += stream.usage.completion_tokens;
  return hides_output_ ? 0 : sum;
}

boost::json::object Generation::usage_object() const {
  int64_t cached = 0;
  for (const Stream& stream : streams_) cached += stream.usage.cached_tokens;
  const int64_t completed = completion_tokens();
  return {{"prompt_tokens", prompt_tokens_},
          {"completion_tokens", completed},
          {"total_tokens", prompt_tokens_ + completed},
          {"prompt_tokens_details", {{"cached_tokens", std::min(cached, prompt_tokens_)}}}};
}

}  // namespace xh::serve
