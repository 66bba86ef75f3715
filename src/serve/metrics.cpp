#include "serve/metrics.h"

#include <fmt/core.h>

#include <iterator>

namespace xh::serve {
namespace {

void line(std::string& out, std::string_view kind, std::string_view name, std::string_view help,
          double value) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", name, help,
                 kind, value);
}

void counter(std::string& out, std::string_view name, std::string_view help, uint64_t value) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {1}\n# TYPE {0} counter\n{0} {2}\n", name,
                 help, value);
}

void gauge(std::string& out, std::string_view name, std::string_view help, double value) {
  line(out, "gauge", name, help, value);
}

}  // namespace

void Histogram::observe(double seconds) {
  size_t i = 0;
  while (i < kBounds.size() && seconds > kBounds[i]) ++i;
  buckets_[i].fetch_add(1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(seconds, std::memory_order_relaxed);
}

void Histogram::write(std::string& out, std::string_view name, std::string_view help) const {
  auto to = std::back_inserter(out);
  fmt::format_to(to, "# HELP {0} {1}\n# TYPE {0} histogram\n", name, help);
  uint64_t below = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    below += buckets_[i].load(std::memory_order_relaxed);
    fmt::format_to(to, "{}_bucket{{le=\"{}\"}} {}\n", name, kBounds[i], below);
  }
  below += buckets_[kBounds.size()].load(std::memory_order_relaxed);
  fmt::format_to(to, "{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name, below,
                 sum_.load(std::memory_order_relaxed));
}

void Metrics::count_request(std::string_view route, int status) {
  std::lock_guard lock(mutex_);
  ++requests_[{std::string(route), status}];
}

std::string escape_label(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string Metrics::write(const ClientInfo& model, const EngineStats& engine) const {
  std::string out;
  auto to = std::back_inserter(out);
  fmt::format_to(to,
                 "# HELP xiaohu_model_info The model that is served.\n"
                 "# TYPE xiaohu_model_info gauge\n"
                 "xiaohu_model_info{{model=\"{}\",architecture=\"{}\",context_length=\"{}\"}} 1\n",
                 escape_label(model.model_name), escape_label(model.architecture),
                 model.context_length);
  out +=
      "# HELP xiaohu_http_requests_total Requests answered, by route and status.\n"
      "# TYPE xiaohu_http_requests_total counter\n";
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, count] : requests_) {
      fmt::format_to(to, "xiaohu_http_requests_total{{route=\"{}\",status=\"{}\"}} {}\n",
                     escape_label(key.first), key.second, count);
    }
  }
  first_token.write(out, "xiaohu_time_to_first_token_seconds",
                    "From the complete request to the first token.");
  between_tokens.write(out, "xiaohu_time_between_tokens_seconds", "Between pieces of one answer.");
  request_time.write(out, "xiaohu_request_seconds", "From the complete request to the last byte.");
  gauge(out, "xiaohu_http_connections", "Open connections.", double(connections.load()));
  gauge(out, "xiaohu_http_generations", "Answers being generated.", double(generations.load()));
  counter(out, "xiaohu_http_connections_refused_total", "Connections over the limit.",
          connections_refused);
  counter(out, "xiaohu_http_connections_evicted_total",
          "Waiting connections closed to make room for new ones.", connections_evicted);
  counter(out, "xiaohu_http_timeouts_total", "Connections closed because they were too slow.",
          timeouts);
  counter(out, "xiaohu_http_disconnects_total", "Clients that left before their answer was done.",
          disconnects);
  counter(out, "xiaohu_http_busy_total", "Requests answered 429 or 503.", refused_busy);

  gauge(out, "xiaohu_requests_waiting", "Sequences in the queue.", engine.waiting);
  gauge(out, "xiaohu_requests_running", "Sequences being computed.", engine.running);
  gauge(out, "xiaohu_kv_pages_total", "Pages of the key-value cache.", engine.pages_total);
  gauge(out, "xiaohu_kv_pages_used", "Pages in use, kept prefixes included.", engine.pages_used);
  gauge(out, "xiaohu_kv_pages_cached", "Pages of kept prefixes that nobody uses now.",
        engine.pages_cached);
  counter(out, "xiaohu_prompt_tokens_total", "Tokens of prompts.", engine.prompt_tokens);
  counter(out, "xiaohu_cached_tokens_total", "Tokens of prompts taken from the prefix cache.",
          engine.cached_tokens);
  counter(out, "xiaohu_generated_tokens_total", "Tokens generated.", engine.generated_tokens);
  counter(out, "xiaohu_engine_steps_total", "Forward passes.", engine.steps);
  line(out, "counter", "xiaohu_engine_step_seconds_total", "Time spent in forward passes.",
       engine.step_seconds);
  counter(out, "xiaohu_preemptions_total", "Sequences paused for lack of memory.",
          engine.preemptions);
  counter(out, "xiaohu_sequences_finished_total", "Sequences that came to an end.",
          engine.finished);
  counter(out, "xiaohu_sequences_cancelled_total", "Sequences whose client left.",
          engine.cancelled);
  counter(out, "xiaohu_sequences_failed_total", "Sequences that failed.", engine.failed);
  counter(out, "xiaohu_sequences_rejected_total", "Sequences refused before any work.",
          engine.rejected);
  return out;
}

}  // namespace xh::serve
