// POST /v1/chat/completions
#include <fmt/core.h>

#include "serve/api/api.h"
#include "serve/api/chat_request.h"
#include "serve/api/context_check.h"
#include "serve/api/generation.h"
#include "serve/api/model_name.h"
#include "serve/api/token_text.h"
#include "text/chat_prompt.h"
#include "text/reasoning.h"
#include "text/tool_calls.h"

namespace xh::serve {
namespace json = boost::json;

namespace {

// The answer to one chat request: n choices of content, reasoning and tool calls.
class ChatGeneration : public Generation {
 public:
  ChatGeneration(Service& service, std::unique_ptr<Service::Ticket> ticket, ChatRequest request)
      : Generation(service, std::move(ticket), request.shared.stream.stream,
                   request.shared.stream.include_usage),
        request_(std::move(request)),
        id_(make_id("chatcmpl-")),
        created_(unix_now()) {}

  ApiResult<void> start(ChatPrompt prompt) {
    GenerateRequest base = std::move(request_.shared.request);
    prompt_tokens_ = static_cast<int64_t>(prompt.tokens.size());
    base.prompt = std::move(prompt.tokens);
    const json::array* tools = nullptr;
    if (const json::value* value = request_.variables.if_contains("tools")) {
      tools = value->if_array();
    }
    for (int32_t i = 0; i < request_.shared.n; ++i) {
      choices_.emplace_back(prompt.opens_reasoning, tools);
      GenerateRequest one = base;
      if (one.sampling.seed) *one.sampling.seed += static_cast<uint64_t>(i);
      XH_TRY_VOID(submit(std::move(one)));
    }
    return {};
  }

 protected:
  void begin(std::string& out) override {
    for (size_t i = 0; i < choices_.size(); ++i) {
      append_event(out, chunk(i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr));
    }
  }

  void take(size_t i, StreamEvent& event, std::string& out) override {
    Choice& choice = choices_[i];
    ReasoningSplitter::Piece piece = choice.reasoning.push(event.text);
    if (event.finish) {
      ReasoningSplitter::Piece rest = choice.reasoning.finish();
      piece.reasoning += rest.reasoning;
      piece.content += rest.content;
    }
    ToolCallParser::Piece said{std::move(piece.content), {}};
    if (request_.has_tools) {
      said = choice.tools.push(said.content);
      if (event.finish) {
        ToolCallParser::Piece rest = choice.tools.finish();
        said.content += rest.content;
        std::move(rest.calls.begin(), rest.calls.end(), std::back_inserter(said.calls));
      }
    }
    json::array logprobs;
    for (const TokenLogprob& entry : event.logprobs) logprobs.push_back(logprob_object(entry));
    json::array calls = name_calls(choice, said.calls);
    const char* finish = nullptr;
    if (event.finish) {
      finish = choice.n_calls > 0 && *event.finish == FinishReason::kStop
                   ? "tool_calls"
                   : finish_reason_name(*event.finish);
    }
    if (streaming_) {
      send(i, piece.reasoning, said.content, std::move(calls), std::move(logprobs), finish, out);
      return;
    }
    choice.thought += piece.reasoning;
    choice.content += said.content;
    std::move(calls.begin(), calls.end(), std::back_inserter(choice.calls));
    std::move(logprobs.begin(), logprobs.end(), std::back_inserter(choice.logprobs));
    if (finish) choice.finish = finish;
  }

  json::object whole() override {
    json::array list;
    for (size_t i = 0; i < choices_.size(); ++i) {
      Choice& choice = choices_[i];
      json::object message{{"role", "assistant"}};
      message["content"] = choice.content.empty() && !choice.calls.empty()
                               ? json::value(nullptr)
                               : json::value(choice.content);
      message["refusal"] = nullptr;
      if (!choice.thought.empty()) message["reasoning_content"] = choice.thought;
      if (!choice.calls.empty()) message["tool_calls"] = std::move(choice.calls);
      json::value logprobs = nullptr;
      if (request_.logprobs) {
        logprobs = {{"content", std::move(choice.logprobs)}, {"refusal", nullptr}};
      }
      list.push_back(json::object{{"index", i},
                                  {"message", std::move(message)},
                                  {"logprobs", std::move(logprobs)},
                                  {"finish_reason", choice.finish}});
    }
    json::object body = head("chat.completion");
    body["choices"] = std::move(list);
    body["usage"] = usage_object();
    return body;
  }

  json::object empty_chunk() override {
    json::object body = head("chat.completion.chunk");
    body["choices"] = json::array();
    return body;
  }

 private:
  struct Choice {
    Choice(bool inside, const json::array* list) : reasoning(inside), tools(list) {}
    ReasoningSplitter reasoning;
    ToolCallParser tools;
    size_t n_calls = 0;
    // Collected when not streaming:
    std::string thought, content, finish;
    json::array calls, logprobs;
  };

  json::object head(const char* kind) const {
    return {{"id", id_}, {"object", kind}, {"created", created_}, {"model", request_.model}};
  }

  json::object chunk(size_t i, json::object delta, json::value logprobs, const char* finish) const {
    json::object body = head("chat.completion.chunk");
    json::object choice{{"index", i}, {"delta", std::move(delta)}};
    choice["logprobs"] = std::move(logprobs);
    choice["finish_reason"] = finish ? json::value(finish) : json::value(nullptr);
    body["choices"] = json::array{std::move(choice)};
    if (include_usage_) body["usage"] = nullptr;
    return body;
  }

  void send(size_t i, const std::string& thought, const std::string& content, json::array calls,
            json::array logprobs, const char* finish, std::string& out) {
    json::object delta;
    if (!thought.empty()) delta["reasoning_content"] = thought;
    if (!content.empty()) delta["content"] = content;
    if (!calls.empty()) delta["tool_calls"] = std::move(calls);
    json::value probabilities = nullptr;
    if (!logprobs.empty()) probabilities = {{"content", std::move(logprobs)}, {"refusal", nullptr}};
    if (!delta.empty() || !probabilities.is_null()) {
      append_event(out, chunk(i, std::move(delta), std::move(probabilities), nullptr));
    }
    if (finish) append_event(out, chunk(i, {}, nullptr, finish));
  }

  // Numbers the calls and gives each an id. Without parallel calls only the first one counts.
  json::array name_calls(Choice& choice, const std::vector<ToolCall>& calls) {
    json::array out;
    for (const ToolCall& call : calls) {
      if (!request_.parallel_tool_calls && choice.n_calls > 0) break;
      json::object entry;
      if (streaming_) entry["index"] = choice.n_calls;
      entry["id"] = make_id("call_");
      entry["type"] = "function";
      entry["function"] = {{"name", call.name}, {"arguments", call.arguments}};
      out.push_back(std::move(entry));
      ++choice.n_calls;
    }
    return out;
  }

  json::object token_object(TokenId id, float logprob) const {
    const std::string bytes = tokenizer().token_bytes(id, true);
    json::array numbers;
    for (unsigned char byte : bytes) numbers.push_back(byte);
    return {{"token", token_text(tokenizer(), id)},
            {"logprob", logprob},
            {"bytes", std::move(numbers)}};
  }

  json::object logprob_object(const TokenLogprob& entry) const {
    json::object out = token_object(entry.id, entry.logprob);
    json::array top;
    for (const auto& [id, logprob] : entry.top) top.push_back(token_object(id, logprob));
    out["top_logprobs"] = std::move(top);
    return out;
  }

  ChatRequest request_;
  const std::string id_;
  const int64_t created_;
  std::vector<Choice> choices_;
};

ApiResult<std::unique_ptr<Answer>> run(const HttpRequest& http, Service& service) {
  const ClientInfo& info = service.client.info();
  XH_TRY(ChatRequest request,
         parse_chat_request(http.body, info, service.options.default_sampling));
  XH_TRY_VOID(api::check_model(request.model, info));
  const ChatTemplate* chat_template = service.client.chat_template();
  if (!chat_template) {
    return refuse(400, "This model has no chat template. Use /v1/completions.", "model",
                  "unsupported");
  }
  XH_TRY(auto ticket, service.admit(http.tenant));
  auto prompt =
      make_chat_prompt(*chat_template, service.client.tokenizer(), request.variables, unix_now());
  if (!prompt) {
    ApiError error(prompt.error());
    error.param = "messages";
    return std::unexpected(std::move(error));
  }
  request.shared.request.tenant = http.tenant;
  XH_TRY_VOID(
      check_context(prompt->tokens.size(), request.shared.request.max_tokens, info, "messages"));
  auto generation =
      std::make_unique<ChatGeneration>(service, std::move(ticket), std::move(request));
  XH_TRY_VOID(generation->start(std::move(*prompt)));
  return generation;
}

}  // namespace

HttpReply api::chat_completions(HttpRequest& request, Service& service) {
  auto answer = run(request, service);
  if (!answer) return error_response(answer.error());
  return std::move(*answer);
}

}  // namespace xh::serve
