// Between the engine's thread and the reader of one stream, and from readers back to the engine.
// Both ends may outlive the other, hence shared ownership (docs/decisions: shared-channels).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/client.h"

namespace xh {

// One stream. Events that are not read yet are merged into one, so memory is bounded by the longest
// answer. Thread-safe.
class TokenChannel {
 public:
  // The engine's end. An event after the last one is dropped.
  void push(StreamEvent event);
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // The reader's end.
  std::optional<StreamEvent> poll();
  StreamEvent wait();
  void on_ready(std::function<void()> callback);
  // No callback runs, or will run, once this returns.
  void cancel();
  bool ended() const;  // the last event has been pushed

 private:
  std::optional<StreamEvent> take_locked();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<StreamEvent> pending_;
  std::function<void()> callback_;
  bool last_pushed_ = false;
  bool last_taken_ = false;
  std::atomic<bool> cancelled_ = false;
};

// Requests on their way to the engine. Thread-safe.
struct Submission {
  GenerateRequest request;
  std::shared_ptr<TokenChannel> channel;
  std::chrono::steady_clock::time_point arrived;
  int32_t pin = -1;  // which of the engine's own documents it is; -1: a client's request
};

class Inbox {
 public:
  bool post(Submission submission);  // false when closed: nobody will ever answer
  void wake();                       // something was cancelled, or the engine is to stop
  void close();                      // refuses what comes; what is inside can still be taken
  // Takes everything. Blocks while there is nothing, unless `poll`.
  std::vector<Submission> take(bool poll);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Submission> submissions_;
  bool woken_ = false;
  bool closed_ = false;
};

}  // namespace xh
