#include "serve/service.h"

namespace xh::serve {

ApiResult<std::unique_ptr<Service::Ticket>> Service::admit(const std::string& tenant) {
  if (refusing) {
    ApiError error(503, "The server is shutting down.", {}, "shutting_down");
    error.retry_after = 5;
    return std::unexpected(std::move(error));
  }
  std::lock_guard lock(mutex_);
  uint32_t& count = running_[tenant];
  if (!keys.empty() && count >= options.max_requests_per_key) {
    ApiError error(429, "This key has too many requests running at once.", {},
                   "rate_limit_exceeded");
    error.retry_after = 1;
    return std::unexpected(std::move(error));
  }
  ++count;
  ++metrics.generations;
  return std::make_unique<Ticket>(*this, tenant);
}

Service::Ticket::~Ticket() {
  std::lock_guard lock(service_.mutex_);
  auto it = service_.running_.find(tenant_);
  if (it != service_.running_.end() && --it->second == 0) service_.running_.erase(it);
  --service_.metrics.generations;
}

}  // namespace xh::serve
