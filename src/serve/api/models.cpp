// GET /v1/models and /v1/models/{id}
#include <boost/json.hpp>

#include "serve/api/api.h"
#include "serve/api/model_name.h"
#include "serve/service.h"

namespace xh::serve::api {
namespace {

boost::json::object describe(const ClientInfo& info) {
  return {{"id", info.model_name},
          {"object", "model"},
          {"created", info.created},
          {"owned_by", "xiaohu"},
          {"max_model_len", info.context_length},
          {"architecture", info.architecture},
          {"description", info.description}};
}

}  // namespace

ApiResult<void> check_model(std::string_view name, const ClientInfo& info) {
  if (name == info.model_name) return {};
  return refuse(404,
                "The model '" + std::string(name.substr(0, 200)) +
                    "' is not here. This server has: " + info.model_name + ".",
                "model", "model_not_found");
}

HttpReply list_models(HttpRequest&, Service& service) {
  boost::json::object body{{"object", "list"},
                           {"data", boost::json::array{describe(service.client.info())}}};
  return HttpResponse{.body = boost::json::serialize(body)};
}

HttpReply get_model(HttpRequest& request, Service& service) {
  const ClientInfo& info = service.client.info();
  if (auto known = check_model(request.argument, info); !known)
    return error_response(known.error());
  return HttpResponse{.body = boost::json::serialize(describe(info))};
}

}  // namespace xh::serve::api
