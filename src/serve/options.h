// What can be set when a server starts.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "sampling/params.h"

namespace xh::serve {

struct ServeOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free one

  // Who may come in. With neither, the server is open, and then only on a loopback address.
  std::vector<std::string> api_keys;  // in clear; only their SHA-256 is kept
  std::string keys_file;              // lines "NAME SHA256-IN-HEX"

  std::string tls_cert, tls_key;  // PEM files; both or neither
  bool insecure_http = false;     // allows a non-loopback address without TLS

  std::vector<std::string> cors_origins;   // "https://app.example"; none: no cross-origin use
  std::vector<std::string> allowed_hosts;  // more Host names accepted on a loopback address

  uint32_t max_header_bytes = 16u << 10;
  uint64_t max_body_bytes = 32ull << 20;
  uint64_t body_budget_bytes = 256ull << 20;  // bodies of all requests being read together
  uint32_t max_connections = 1024;
  uint32_t max_requests_per_key = 128;  // generations at once; more are answered 429
  uint32_t max_pipelined_bytes = 64u << 10;

  std::chrono::milliseconds header_timeout{10'000};  // from the first byte to the end of the header
  std::chrono::milliseconds idle_timeout{60'000};    // between requests
  std::chrono::milliseconds body_grace{30'000};      // plus a second per 16 KiB received
  std::chrono::milliseconds write_timeout{30'000};   // without any progress
  std::chrono::milliseconds keep_alive_comment{15'000};  // of silence on an event stream
  std::chrono::milliseconds drain_timeout{30'000};
  // After the order to drain: not ready, but still taking work, until whoever routes has noticed.
  std::chrono::milliseconds drain_grace{0};

  bool vllm_metric_names = false;  // also write the gauges that routers know under vLLM's names
  bool open_metrics = false;       // /metrics needs no key: for scrapers that cannot send one

  // For requests that do not say how to choose tokens. OpenAI's own defaults (temperature 1, the
  // whole vocabulary) are made for large models; small ones wander off with them.
  SamplingParams default_sampling{.temperature = 0.7f, .top_p = 0.95f};

  uint32_t workers = 2;  // threads that read requests and render prompts
};

}  // namespace xh::serve
