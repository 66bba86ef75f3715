// Whether the server lives, takes work, and how it is doing.
#include <boost/json.hpp>

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
  return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                      .body = service.metrics.write(service.client.info(), service.client.stats())};
}

}  // namespace xh::serve::api
