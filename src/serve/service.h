// What all handlers share. Lives as long as the server; thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "engine/client.h"
#include "serve/api_error.h"
#include "serve/auth.h"
#include "serve/metrics.h"
#include "serve/options.h"

namespace xh::serve {

struct Service {
  Service(Client& client, ServeOptions options, KeyRing keys)
      : client(client), options(std::move(options)), keys(std::move(keys)) {}

  Client& client;
  const ServeOptions options;
  const KeyRing keys;
  Metrics metrics;
  std::atomic<bool> draining{false};    // not ready
  std::atomic<bool> refusing{false};    // takes no new work
  std::atomic<uint64_t> body_bytes{0};  // of all requests being read

  // Counts a generation while it lives; the drain waits for these.
  class Ticket {
   public:
    Ticket(Service& service, std::string tenant) : service_(service), tenant_(std::move(tenant)) {}
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

   private:
    Service& service_;
    std::string tenant_;
  };
  // 503 while refusing, 429 when the key has too many generations at once.
  ApiResult<std::unique_ptr<Ticket>> admit(const std::string& tenant);

 private:
  std::mutex mutex_;
  std::map<std::string, uint32_t> running_;  // generations by tenant
};

}  // namespace xh::serve
