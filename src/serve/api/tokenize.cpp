// POST /tokenize {"prompt": text, "add_special_tokens": true} → {"count", "max_model_len",
// "tokens"} POST /detokenize {"tokens": [ids]} → {"prompt": text}
#include <boost/json.hpp>

#include "serve/api/api.h"
#include "serve/api/token_text.h"
#include "serve/fields.h"
#include "serve/json_input.h"
#include "serve/service.h"

namespace xh::serve::api {
namespace json = boost::json;

namespace {

ApiResult<json::value> run_tokenize(const HttpRequest& request, Service& service) {
  XH_TRY(json::value body, parse_json(request.body));
  if (!body.is_object()) return refuse(400, "The body must be a JSON object.");
  Fields fields(body.get_object());
  const std::string prompt = fields.text("prompt", service.options.max_body_bytes);
  if (!fields.value("prompt")) fields.fail("prompt", "is missing.", "missing_field");
  EncodeOptions options;
  options.add_special = fields.boolean("add_special_tokens", true);
  options.parse_special = fields.boolean("parse_special", true);
  const bool with_text = fields.boolean("return_token_strs", false);
  fields.ignore({"model"});
  XH_TRY_VOID(fields.finish());

  const Tokenizer& tokenizer = service.client.tokenizer();
  const std::vector<TokenId> ids = tokenizer.encode(prompt, options);
  json::object out{{"count", ids.size()}, {"max_model_len", service.client.info().context_length}};
  json::array tokens, texts;
  tokens.reserve(ids.size());
  for (TokenId id : ids) {
    tokens.push_back(id);
    if (with_text) texts.push_back(json::string(token_text(tokenizer, id)));
  }
  out["tokens"] = std::move(tokens);
  if (with_text) out["token_strs"] = std::move(texts);
  return out;
}

ApiResult<json::value> run_detokenize(const HttpRequest& request, Service& service) {
  XH_TRY(json::value body, parse_json(request.body));
  if (!body.is_object()) return refuse(400, "The body must be a JSON object.");
  Fields fields(body.get_object());
  const json::array* tokens = fields.array("tokens", 1'000'000);
  if (!tokens) fields.fail("tokens", "must be an array of token ids.", "missing_field");
  fields.ignore({"model"});
  XH_TRY_VOID(fields.finish());
  XH_TRY(std::vector<TokenId> ids,
         token_array(*tokens, "tokens", service.client.info().vocab_size));
  return json::object{{"prompt", plain_text(service.client.tokenizer(), ids)}};
}

HttpReply reply(const ApiResult<json::value>& result) {
  if (!result) return error_response(result.error());
  return HttpResponse{.body = json::serialize(*result)};
}

}  // namespace

HttpReply tokenize(HttpRequest& request, Service& service) {
  return reply(run_tokenize(request, service));
}

HttpReply detokenize(HttpRequest& request, Service& service) {
  return reply(run_detokenize(request, service));
}

}  // namespace xh::serve::api
