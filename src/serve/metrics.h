// Counters and histograms in Prometheus' text format. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "engine/client.h"

namespace xh::serve {

// Times in seconds, fixed buckets from a millisecond to five minutes.
class Histogram {
 public:
  static constexpr std::array<double, 16> kBounds = {
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};
  void observe(double seconds);
  void write(std::string& out, std::string_view name, std::string_view help) const;
  uint64_t count() const { return count_; }

 private:
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> buckets_{};
  std::atomic<uint64_t> count_{0};
  std::atomic<double> sum_{0};
};

class Metrics {
 public:
  // Routes come from the router's table, so the number of labels is bounded.
  void count_request(std::string_view route, int status);

  Histogram first_token, between_tokens, request_time;
  std::atomic<int64_t> connections{0}, generations{0};
  std::atomic<uint64_t> connections_refused{0}, connections_evicted{0}, timeouts{0};
  std::atomic<uint64_t> disconnects{0};   // clients that left before their answer was complete
  std::atomic<uint64_t> refused_busy{0};  // answered 429 or 503

  std::string write(const ClientInfo& model, const EngineStats& engine) const;

  // The few gauges that routers before a fleet read, under the names that they read them by.
  static std::string write_vllm_names(const ClientInfo& model, const EngineStats& engine,
                                      int64_t unix_seconds);

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
};

// A label's value with quote, backslash and line feed escaped.
std::string escape_label(std::string_view text);

}  // namespace xh::serve
