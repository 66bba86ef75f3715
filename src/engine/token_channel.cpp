#include "engine/token_channel.h"

#include <iterator>
#include <utility>

namespace xh {
namespace {

template <class T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

void TokenChannel::push(StreamEvent event) {
  std::lock_guard lock(mutex_);
  if (last_pushed_) return;
  last_pushed_ = event.finish.has_value();
  if (!pending_) {
    pending_ = std::move(event);
  } else {
    pending_->text += event.text;
    append(pending_->tokens, std::move(event.tokens));
    append(pending_->logprobs, std::move(event.logprobs));
    append(pending_->prompt_logprobs, std::move(event.prompt_logprobs));
    pending_->finish = event.finish;
    pending_->matched_stop = std::move(event.matched_stop);
    pending_->usage = event.usage;
    pending_->error = std::move(event.error);
  }
  changed_.notify_one();
  if (callback_) callback_();  // under the lock: cancel() waits for it
}

std::optional<StreamEvent> TokenChannel::take_locked() {
  auto event = std::exchange(pending_, std::nullopt);
  if (event && event->finish) last_taken_ = true;
  return event;
}

std::optional<StreamEvent> TokenChannel::poll() {
  std::lock_guard lock(mutex_);
  return take_locked();
}

StreamEvent TokenChannel::wait() {
  std::unique_lock lock(mutex_);
  if (last_taken_) {  // the caller's mistake; better told than hung
    StreamEvent event;
    event.finish = FinishReason::kError;
    event.error = Error{ErrorCode::kInternal, "the stream has ended", "stream", ""};
    return event;
  }
  changed_.wait(lock, [&] { return pending_.has_value(); });
  return *take_locked();
}

void TokenChannel::on_ready(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  callback_ = std::move(callback);
  if (callback_ && pending_) callback_();
}

void TokenChannel::cancel() {
  std::lock_guard lock(mutex_);
  callback_ = nullptr;
  cancelled_.store(true, std::memory_order_release);
}

bool TokenChannel::ended() const {
  std::lock_guard lock(mutex_);
  return last_pushed_;
}

bool Inbox::post(Submission submission) {
  std::lock_guard lock(mutex_);
  if (closed_) return false;
  submissions_.push_back(std::move(submission));
  changed_.notify_one();
  return true;
}

void Inbox::wake() {
  std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_one();
}

void Inbox::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  woken_ = true;
  changed_.notify_one();
}

std::vector<Submission> Inbox::take(bool poll) {
  std::unique_lock lock(mutex_);
  if (!poll) changed_.wait(lock, [&] { return woken_ || !submissions_.empty(); });
  woken_ = false;
  return std::exchange(submissions_, {});
}

}  // namespace xh
