// Whether the server lives, takes work, and how it is doing.
#include <boost/json.hpp>
#include <chrono>

#include "serve/api/api.h"
#include "serve/service.h"

namespace xh::serve::api {

HttpReply health(HttpRequest&, Service&) {
  return HttpResponse{.body = R"({"status":"ok"})"};
}

HttpReply ready(HttpRequest&, Service& service) {
  if (!service.draining) return HttpResponse{.body = R"({"status":"ready"})"};
  ApiError error(503, "The server is shutting down.", {}, "shutting_down");
  error.retry_after = 5;
  return error_response(error);
}

HttpReply metrics(HttpRequest&, Service& service) {
  const ClientInfo& model = service.client.info();
  const EngineStats engine = service.client.stats();
  std::string text = service.metrics.write(model, engine);
  if (service.options.vllm_metric_names) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    text += Metrics::write_vllm_names(
        model, engine, std::chrono::duration_cast<std::chrono::seconds>(now).count());
  }
  return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                      .body = std::move(text)};
}

}  // namespace xh::serve::api
