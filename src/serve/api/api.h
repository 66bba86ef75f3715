// The endpoints, one file each. A handler never blocks on the engine: what takes long is an Answer.
#pragma once

#include "serve/http.h"

namespace xh::serve {

struct Service;

namespace api {

HttpReply health(HttpRequest& request, Service& service);
HttpReply ready(HttpRequest& request, Service& service);
HttpReply metrics(HttpRequest& request, Service& service);
HttpReply list_models(HttpRequest& request, Service& service);
HttpReply get_model(HttpRequest& request, Service& service);
HttpReply chat_completions(HttpRequest& request, Service& service);
HttpReply completions(HttpRequest& request, Service& service);
HttpReply tokenize(HttpRequest& request, Service& service);
HttpReply detokenize(HttpRequest& request, Service& service);

}  // namespace api
}  // namespace xh::serve
