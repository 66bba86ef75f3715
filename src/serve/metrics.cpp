#include "serve/metrics.h"

#include <fmt/core.h>

#include <iterator>

#include "compute/kv_store.h"

namespace xh::serve {
namespace {

// Labels come in braces, or empty.
void header(std::string& out, std::string_view kind, std::string_view name, std::string_view help) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, kind);
}

void counter(std::string& out, std::string_view name, std::string_view help, uint64_t value,
             std::string_view labels = {}) {
  header(out, "counter", name, help);
  fmt::format_to(std::back_inserter(out), "{}{} {}\n", name, labels, value);
}

void gauge(std::string& out, std::string_view name, std::string_view help, double value,
           std::string_view labels = {}) {
  header(out, "gauge", name, help);
  fmt::format_to(std::back_inserter(out), "{}{} {}\n", name, labels, value);
}

// Of the pages, the share that running requests need: kept prefixes give way to them.
double share_in_use(const EngineStats& engine) {
  if (engine.pages_total == 0) return 0;
  return double(engine.pages_used - engine.pages_cached) / engine.pages_total;
}

void write_step_times(std::string& out, const std::string& model, const EngineStats& engine) {
  constexpr std::string_view kName = "xiaohu_engine_step_seconds";
  header(out, "histogram", kName, "How long forward passes took.");
  auto to = std::back_inserter(out);
  uint64_t below = 0;
  for (size_t i = 0; i < engine.step_times.size(); ++i) {
    below += engine.step_times[i];
    const bool last = i == EngineStats::kStepBounds.size();
    const std::string bound = last ? "+Inf" : fmt::format("{}", EngineStats::kStepBounds[i]);
    fmt::format_to(to, "{}_bucket{{model=\"{}\",le=\"{}\"}} {}\n", kName, model, bound, below);
  }
  fmt::format_to(to, "{0}_sum{{model=\"{1}\"}} {2}\n{0}_count{{model=\"{1}\"}} {3}\n", kName, model,
                 engine.step_seconds, below);
}

void write_hits(std::string& out, const std::string& model, const EngineStats& engine) {
  constexpr std::string_view kName = "xiaohu_prefix_hits_total";
  header(out, "counter", kName,
         "Prompts whose beginning was in memory, came from disk, or neither.");
  auto to = std::back_inserter(out);
  const auto line = [&](std::string_view from, uint64_t value) {
    fmt::format_to(to, "{}{{model=\"{}\",from=\"{}\"}} {}\n", kName, model, from, value);
  };
  line("memory", engine.prefix_hits_memory);
  line("disk", engine.prefix_hits_disk);
  line("none", engine.prefix_misses);
}

void write_disk(std::string& out, const std::string& labels, const KvDiskStats& disk) {
  const auto now = [&](std::string_view name, std::string_view help, uint64_t value) {
    gauge(out, name, help, double(value), labels);
  };
  const auto sum = [&](std::string_view name, std::string_view help, uint64_t value) {
    counter(out, name, help, value, labels);
  };
  now("xiaohu_kv_disk_budget_bytes", "What kept prefixes may take on disk.", disk.budget_bytes);
  now("xiaohu_kv_disk_used_bytes", "What kept prefixes take on disk.", disk.used_bytes);
  now("xiaohu_kv_disk_files", "Files of kept prefixes.", disk.files);
  sum("xiaohu_kv_disk_pages_written_total", "Pages written to disk.", disk.pages_written);
  sum("xiaohu_kv_disk_pages_restored_total", "Pages read back from disk.", disk.pages_restored);
  sum("xiaohu_kv_disk_files_evicted_total", "Files removed for the budget.", disk.files_evicted);
  sum("xiaohu_kv_disk_files_refused_total", "Files that were damaged, foreign or out of date.",
      disk.files_refused);
  sum("xiaohu_kv_disk_write_failures_total", "Writes that failed.", disk.write_failures);
}

void write_engine(std::string& out, const std::string& model, const EngineStats& engine) {
  const std::string labels = fmt::format("{{model=\"{}\"}}", model);
  const auto now = [&](std::string_view name, std::string_view help, double value) {
    gauge(out, name, help, value, labels);
  };
  const auto sum = [&](std::string_view name, std::string_view help, uint64_t value) {
    counter(out, name, help, value, labels);
  };
  now("xiaohu_requests_waiting", "Sequences in the queue.", engine.waiting);
  now("xiaohu_requests_running", "Sequences being computed.", engine.running);
  now("xiaohu_kv_pages_total", "Pages of the key-value cache.", engine.pages_total);
  now("xiaohu_kv_pages_used", "Pages in use, kept prefixes included.", engine.pages_used);
  now("xiaohu_kv_pages_cached", "Pages of kept prefixes that nobody uses now.",
      engine.pages_cached);
  now("xiaohu_kv_pages_pinned", "Pages of pinned documents.", engine.pages_pinned);
  now("xiaohu_pins_wanted", "Documents to keep warm.", engine.pins_wanted);
  now("xiaohu_pins_ready", "Documents that are warm.", engine.pins_ready);
  write_hits(out, model, engine);
  if (engine.kv_disk.on) write_disk(out, labels, engine.kv_disk);
  sum("xiaohu_prompt_tokens_total", "Tokens of prompts.", engine.prompt_tokens);
  sum("xiaohu_cached_tokens_total", "Tokens of prompts taken from the prefix cache.",
      engine.cached_tokens);
  sum("xiaohu_generated_tokens_total", "Tokens generated.", engine.generated_tokens);
  sum("xiaohu_guessed_tokens_total", "Tokens guessed ahead.", engine.guessed_tokens);
  sum("xiaohu_guessed_right_total", "Tokens guessed ahead that were right.", engine.guessed_right);
  write_step_times(out, model, engine);
  sum("xiaohu_preemptions_total", "Sequences paused for lack of memory.", engine.preemptions);
  sum("xiaohu_sequences_finished_total", "Sequences that came to an end.", engine.finished);
  sum("xiaohu_sequences_cancelled_total", "Sequences whose client left.", engine.cancelled);
  sum("xiaohu_sequences_failed_total", "Sequences that failed.", engine.failed);
  sum("xiaohu_sequences_rejected_total", "Sequences refused before any work.", engine.rejected);
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
                 "xiaohu_model_info{{model=\"{}\",architecture=\"{}\",context_length=\"{}\","
                 "kv=\"{}\"}} 1\n",
                 escape_label(model.model_name), escape_label(model.architecture),
                 model.context_length, escape_label(model.kv_type));
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
  write_engine(out, escape_label(model.model_name), engine);
  return out;
}

std::string Metrics::write_vllm_names(const ClientInfo& model, const EngineStats& engine,
                                      int64_t unix_seconds) {
  std::string out;
  const std::string name = escape_label(model.model_name);
  const std::string labels = fmt::format("{{model_name=\"{}\"}}", name);
  gauge(out, "vllm:num_requests_waiting", "Requests in the queue.", engine.waiting, labels);
  gauge(out, "vllm:num_requests_running", "Requests being computed.", engine.running, labels);
  gauge(out, "vllm:kv_cache_usage_perc", "Share of the pages that running requests need, 0 to 1.",
        share_in_use(engine), labels);
  // Blocks are pages in main memory; "gpu" is part of the label's name.
  gauge(out, "vllm:cache_config_info", "Size of a page in tokens, and how many there are.", 1,
        fmt::format("{{model_name=\"{}\",block_size=\"{}\",num_gpu_blocks=\"{}\","
                    "enable_prefix_caching=\"True\"}}",
                    name, kPageTokens, engine.pages_total));
  // The value is when this was true: readers take the newest.
  header(out, "gauge", "vllm:lora_requests_info", "Adapters; this server has none.");
  fmt::format_to(std::back_inserter(out),
                 "vllm:lora_requests_info{{max_lora=\"0\",running_lora_adapters=\"\","
                 "waiting_lora_adapters=\"\"}} {}\n",
                 unix_seconds);
  return out;
}

}  // namespace xh::serve
