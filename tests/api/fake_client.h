// An engine that only pretends, for tests of the server without a model. Its tokens are bytes; it
// answers "You said: …", or follows directives in the last user message (one per line):
//   !say TEXT      answers TEXT (\n for a line feed)     !delay MS  waits before every character
//   !endless       never comes to an end by itself       !error     fails after the text so far
//   !burst N       answers N letters without any wait
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>

#include "engine/client.h"

namespace xh::testing {

inline constexpr TokenId kImStart = 256, kImEnd = 257, kEndOfText = 258;

class FakeTokenizer : public Tokenizer {
 public:
  FakeTokenizer() : Tokenizer(make_spec()) {}

  std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const override {
    std::vector<TokenId> ids;
    while (!text.empty()) {
      TokenId special = -1;
      for (TokenId id = kImStart; options.parse_special && id <= kEndOfText; ++id) {
        if (text.starts_with(spec_.tokens[size_t(id)])) special = id;
      }
      ids.push_back(special >= 0 ? special : static_cast<unsigned char>(text[0]));
      text.remove_prefix(special >= 0 ? spec_.tokens[size_t(special)].size() : 1);
    }
    return ids;
  }
  std::string token_bytes(TokenId id, bool special = false) const override {
    if (id < 0 || id > kEndOfText || (id > 255 && !special)) return "";
    if (id > 255) return spec_.tokens[size_t(id)];
    return std::string(1, static_cast<char>(id));
  }
  TokenId find(std::string_view token) const override {
    const auto it = std::find(spec_.tokens.begin(), spec_.tokens.end(), token);
    return it == spec_.tokens.end() ? -1 : TokenId(it - spec_.tokens.begin());
  }

 private:
  static TokenizerSpec make_spec() {
    TokenizerSpec spec;
    for (int i = 0; i < 256; ++i) spec.tokens.push_back(std::string(1, static_cast<char>(i)));
    spec.kinds.assign(256, int32_t(TokenKind::kNormal));
    for (const char* name : {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) {
      spec.tokens.push_back(name);
      spec.kinds.push_back(int32_t(TokenKind::kControl));
    }
    spec.bos = kImStart;
    spec.eos = kImEnd;
    spec.end_tokens = {kImEnd, kEndOfText};
    return spec;
  }
};

// What the fake does with one request.
struct FakeScript {
  std::string text;
  std::chrono::milliseconds delay{0};
  bool endless = false, error = false;

  static FakeScript from_prompt(const std::string& prompt) {
    std::string said = prompt;
    const std::string open = "<|im_start|>user\n", close = "<|im_end|>";
    if (const size_t at = said.rfind(open); at != std::string::npos) {
      said.erase(0, at + open.size());
      said.erase(std::min(said.find(close), said.size()));
    }
    FakeScript script;
    if (!said.starts_with('!')) {
      script.text = "You said: " + said;
      return script;
    }
    for (size_t at = 0; at < said.size();) {
      const size_t end = std::min(said.find('\n', at), said.size());
      script.obey(said.substr(at, end - at));
      at = end + 1;
    }
    return script;
  }

 private:
  void obey(const std::string& line) {
    if (line.starts_with("!say ")) {
      text = line.substr(5);
      for (size_t at; (at = text.find("\\n")) != std::string::npos;) text.replace(at, 2, "\n");
    }
    if (line.starts_with("!delay ")) delay = std::chrono::milliseconds(std::stoi(line.substr(7)));
    if (line.starts_with("!burst ")) text = std::string(std::stoul(line.substr(7)), 'x');
    if (line == "!endless") endless = true;
    if (line == "!error") error = true;
  }
};

class FakeClient : public Client {
 public:
  explicit FakeClient(int32_t context_length = 4096, size_t max_streams = 256)
      : max_streams_(max_streams) {
    auto parsed = ChatTemplate::parse(kTemplate);
    if (parsed) template_.emplace(std::move(*parsed));
    info_ = {.model_name = "fake",
             .architecture = "fake",
             .description = "answers without thinking",
             .context_length = context_length,
             .vocab_size = tokenizer_.vocab_size(),
             .created = 1'700'000'000};
    worker_ = std::thread([this] { work(); });
  }
  ~FakeClient() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    worker_.join();
  }

  const ClientInfo& info() const override { return info_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  const ChatTemplate* chat_template() const override { return template_ ? &*template_ : nullptr; }

  Result<std::unique_ptr<TokenStream>> submit(GenerateRequest request) override {
    auto job = std::make_shared<Job>(make_job(std::move(request)));
    std::lock_guard lock(mutex_);
    if (jobs_.size() >= max_streams_) {
      ++stats_.rejected;
      return fail(ErrorCode::kUnavailable, "the queue is full", {}, "try again later");
    }
    jobs_.push_back(job);
    changed_.notify_all();
    return std::make_unique<Stream>(std::move(job));
  }

  EngineStats stats() const override {
    std::lock_guard lock(mutex_);
    EngineStats out = stats_;
    out.running = int32_t(jobs_.size());
    return out;
  }

  // The last request that was submitted, for tests of what reaches the engine.
  GenerateRequest last_request() const {
    std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Job {
    GenerateRequest request;
    FakeScript script;
    std::string matched_stop;
    size_t at = 0;  // bytes of script.text already sent
    Clock::time_point next = Clock::now();
    std::mutex mutex;  // guards what follows
    std::deque<StreamEvent> events;
    std::function<void()> callback;
    bool cancelled = false, first = true;

    Job() = default;
    Job(Job&& other) noexcept
        : request(std::move(other.request)),
          script(std::move(other.script)),
          matched_stop(std::move(other.matched_stop)) {}
  };

  class Stream : public TokenStream {
   public:
    explicit Stream(std::shared_ptr<Job> job) : job_(std::move(job)) {}
    ~Stream() override {
      std::lock_guard lock(job_->mutex);
      job_->cancelled = true;
      job_->callback = nullptr;
    }
    std::optional<StreamEvent> poll() override {
      std::lock_guard lock(job_->mutex);
      if (job_->events.empty()) return std::nullopt;
      StreamEvent event = std::move(job_->events.front());
      job_->events.pop_front();
      return event;
    }
    StreamEvent wait() override {
      for (;;) {
        if (auto event = poll()) return std::move(*event);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    void on_ready(std::function<void()> callback) override {
      std::lock_guard lock(job_->mutex);
      job_->callback = std::move(callback);
      if (!job_->events.empty()) job_->callback();
    }

   private:
    std::shared_ptr<Job> job_;
  };

  Job make_job(GenerateRequest request) {
    std::string prompt;
    for (TokenId id : request.prompt) prompt += tokenizer_.token_bytes(id, true);
    Job job;
    job.script = FakeScript::from_prompt(prompt);
    for (const std::string& stop : request.stop) {
      const size_t at = job.script.text.find(stop);
      if (at == std::string::npos) continue;
      job.script.text.resize(at);
      job.script.endless = false;
      job.matched_stop = stop;
    }
    job.request = std::move(request);
    std::lock_guard lock(mutex_);
    last_ = job.request;
    return job;
  }

  TokenLogprob logprob(TokenId id, int32_t n) const {
    TokenLogprob out{id, -0.5f - 0.1f * float(id % 7), {}};
    const bool is_best = id % 5 != 0;
    for (int32_t k = 0; k < n; ++k) {
      const TokenId other = (id + k) % 256;
      out.top.emplace_back(is_best || k > 0 ? other : (id + 100) % 256,
                           is_best && k == 0 ? out.logprob : -0.2f - 2.0f * float(k));
    }
    return out;
  }

  // One step of one job: a character, or the end. True when the job is over.
  bool step(Job& job) {
    StreamEvent event;
    const std::string& text = job.script.text;
    const int32_t limit = job.request.max_tokens > 0 ? job.request.max_tokens : 1 << 30;
    std::lock_guard lock(job.mutex);
    if (job.cancelled) {
      ++stats_.cancelled;
      return true;
    }
    if (std::exchange(job.first, false) && job.request.prompt_logprobs >= 0) {
      for (size_t i = 0; i < job.request.prompt.size(); ++i) {
        event.prompt_logprobs.push_back(
            i == 0 ? std::nullopt
                   : std::optional(logprob(job.request.prompt[i], job.request.prompt_logprobs)));
      }
    }
    if (job.script.endless && job.at >= text.size() && job.at < size_t(limit)) {
      event.text = "~";
    } else if (job.at < text.size()) {
      size_t n = 1;
      while (job.at + n < text.size() && (text[job.at + n] & 0xc0) == 0x80) ++n;
      event.text = text.substr(job.at, n);
    }
    if (job.at + event.text.size() > size_t(limit)) event.text.resize(size_t(limit) - job.at);
    for (unsigned char byte : event.text) {
      event.tokens.push_back(byte);
      if (job.request.logprobs >= 0) {
        event.logprobs.push_back(logprob(byte, job.request.logprobs));
      }
    }
    job.at += event.text.size();
    stats_.generated_tokens += event.text.size();
    event.usage.prompt_tokens = int32_t(job.request.prompt.size());
    event.usage.completion_tokens = int32_t(job.at);
    const bool over = (job.at >= text.size() && !job.script.endless) || job.at >= size_t(limit);
    if (over) finish(job, event);
    job.events.push_back(std::move(event));
    if (job.callback) job.callback();
    return over;
  }

  void finish(Job& job, StreamEvent& event) {
    const bool cut = job.at < job.script.text.size() || job.script.endless;
    event.finish = cut ? FinishReason::kLength : FinishReason::kStop;
    if (job.script.error) {
      event.finish = FinishReason::kError;
      event.error = Error{ErrorCode::kInternal, "the fake was told to fail", {}, {}};
    }
    event.matched_stop = job.matched_stop;
    ++stats_.finished;
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (jobs_.empty()) {
        changed_.wait(lock);
        continue;
      }
      const auto now = Clock::now();
      auto soonest = now + std::chrono::milliseconds(20);  // notices cancelled jobs
      for (auto it = jobs_.begin(); it != jobs_.end();) {
        Job& job = **it;
        bool gone;
        {
          std::lock_guard inner(job.mutex);
          gone = job.cancelled;
        }
        if (gone || job.next <= now) {
          if (step(job)) {
            it = jobs_.erase(it);
            continue;
          }
          job.next = now + job.script.delay;
        }
        soonest = std::min(soonest, job.next);
        ++it;
      }
      if (soonest > now) changed_.wait_until(lock, soonest);
    }
  }

  static constexpr const char* kTemplate =
      "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
      "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
      "{% if enable_thinking %}<think>\n{% endif %}{% endif %}";

  FakeTokenizer tokenizer_;
  std::optional<ChatTemplate> template_;
  ClientInfo info_;
  const size_t max_streams_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<std::shared_ptr<Job>> jobs_;
  EngineStats stats_;
  GenerateRequest last_;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace xh::testing
