// How the rest of the house sees inference: submit a request, read a stream of tokens.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sampling/params.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace xh {

// Bounds that submit() enforces besides the context's.
inline constexpr size_t kMaxStopStrings = 64;
inline constexpr size_t kMaxStopBytes = 1024;  // each
inline constexpr int32_t kMaxTopLogprobs = 20;
inline constexpr int32_t kMaxPriority = 100;  // and -100
inline constexpr size_t kMaxTenantBytes = 256;

struct GenerateRequest {
  std::vector<TokenId> prompt;  // at least one token
  SamplingParams sampling;
  int32_t max_tokens = 0;         // 0: until the context is full
  std::vector<std::string> stop;  // the text before the first match is returned
  bool ignore_end = false;        // go on past end-of-turn tokens
  bool show_special = false;      // put control tokens into the text
  int32_t logprobs = -1;          // -1: none; N: log-probability of each token and the top N
  int32_t prompt_logprobs = -1;   // the same for the prompt's tokens (echo)
  std::string tenant;             // separates caches and fair shares
  int32_t priority = 0;           // higher runs first
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;
  std::vector<std::pair<TokenId, float>> top;  // best first
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kError };

struct Usage {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;  // of the prompt, taken from the prefix cache
  int32_t completion_tokens = 0;
  double queue_ms = 0, prefill_ms = 0, decode_ms = 0;
};

// A piece of the answer. The last event of a stream has `finish`.
struct StreamEvent {
  std::string text;                                          // complete UTF-8; may be empty
  std::vector<TokenId> tokens;                               // that this event completes
  std::vector<TokenLogprob> logprobs;                        // one per token when asked for
  std::vector<std::optional<TokenLogprob>> prompt_logprobs;  // once, on the first event, when asked
  std::optional<FinishReason> finish;
  std::string matched_stop;    // the stop string that ended it, if one did
  Usage usage;                 // up to here
  std::optional<Error> error;  // with FinishReason::kError
};

// The reader's end of one generation. Destroying it cancels the work; the pages are freed in the
// engine's next step. poll/wait from one thread at a time.
class TokenStream {
 public:
  virtual ~TokenStream() = default;
  virtual std::optional<StreamEvent> poll() = 0;  // nothing ready: nullopt
  virtual StreamEvent wait() = 0;                 // blocks; not after an event with `finish`
  // Called from the engine's thread, or at once from here, whenever poll() has something new.
  // Must be quick and must not call into the stream.
  virtual void on_ready(std::function<void()> callback) = 0;
};

struct KvDiskStats {  // keys and values kept on disk; counters since start unless said otherwise
  bool on = false;
  uint64_t budget_bytes = 0, used_bytes = 0, files = 0;  // now
  uint64_t pages_written = 0, pages_restored = 0;
  uint64_t bytes_written = 0, bytes_restored = 0;
  uint64_t files_evicted = 0;  // least recently used, for the budget
  uint64_t files_refused = 0;  // damaged, foreign or stale: deleted
  uint64_t write_failures = 0;
  double write_seconds = 0, restore_seconds = 0;  // of the threads that do it
};

struct EngineStats {                        // counters since start unless said otherwise
  int32_t waiting = 0, running = 0;         // now
  int32_t pages_total = 0, pages_used = 0;  // now; used counts cached prefixes that may be evicted
  int32_t pages_cached = 0;                 // now; in the prefix cache and not in use
  int32_t pages_pinned = 0;                 // now; of pinned documents
  int32_t pins_wanted = 0, pins_ready = 0;  // now; documents to pin, and those that are
  uint64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  // Prompts that began with what was in memory, with what came back from disk (both may hold), or
  // with neither.
  uint64_t prefix_hits_memory = 0, prefix_hits_disk = 0, prefix_misses = 0;
  uint64_t steps = 0, preemptions = 0, cancelled = 0, finished = 0, failed = 0, rejected = 0;
  uint64_t guessed_tokens = 0, guessed_right = 0;  // speculation: rows spent and rows that held
  double step_seconds = 0;
  // Steps by how long they took: step_times[i] took at most kStepBounds[i] seconds, the last more.
  static constexpr std::array<double, 11> kStepBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                         0.1,   0.15,   0.25,  0.5,  1};
  std::array<uint64_t, kStepBounds.size() + 1> step_times{};
  KvDiskStats kv_disk;
};

struct ClientInfo {
  std::string model_name;  // as clients address it
  std::string architecture;
  std::string description;  // backend, weights, KV type
  std::string kv_type;      // "f16", "q8" …
  int32_t context_length = 0;
  int32_t vocab_size = 0;
  int64_t created = 0;  // Unix time of the model file, seconds
};

// Thread-safe.
class Client {
 public:
  virtual ~Client() = default;
  virtual const ClientInfo& info() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual const ChatTemplate* chat_template() const = 0;  // null: the model has none
  // Refuses before any work: kInvalidArgument (bad parameters, prompt + max_tokens over the
  // context), kUnavailable (queue full or draining).
  virtual Result<std::unique_ptr<TokenStream>> submit(GenerateRequest request) = 0;
  virtual EngineStats stats() const = 0;
};

}  // namespace xh
