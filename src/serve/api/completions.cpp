// POST /v1/completions, also as evaluation harnesses use it: echo and logprobs judge the prompt.
#include <fmt/core.h>

#include <iterator>

#include "serve/api/api.h"
#include "serve/api/completion_request.h"
#include "serve/api/context_check.h"
#include "serve/api/generation.h"
#include "serve/api/model_name.h"
#include "serve/api/token_text.h"

namespace xh::serve {
namespace json = boost::json;

namespace {

// The four parallel lists of a completion's log-probabilities.
struct LogprobLists {
  json::array tokens, token_logprobs, top_logprobs, text_offset;

  void add(const Tokenizer& tokenizer, TokenId id, const TokenLogprob* entry, size_t offset) {
    tokens.push_back(json::string(token_text(tokenizer, id)));
    text_offset.push_back(offset);
    if (!entry) {  // nothing comes before the first token of a prompt
      token_logprobs.push_back(nullptr);
      top_logprobs.push_back(nullptr);
      return;
    }
    token_logprobs.push_back(entry->logprob);
    // Best first, and emplace keeps the first: of two tokens with one text the better one stays.
    json::object top;
    for (const auto& [top_id, logprob] : entry->top) {
      top.emplace(token_text(tokenizer, top_id), logprob);
    }
    top.emplace(token_text(tokenizer, id), entry->logprob);
    top_logprobs.push_back(std::move(top));
  }

  json::object take() {
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(token_logprobs)},
            {"top_logprobs", std::move(top_logprobs)},
            {"text_offset", std::move(text_offset)}};
  }
};

class CompletionGeneration : public Generation {
 public:
  CompletionGeneration(Service& service, std::unique_ptr<Service::Ticket> ticket,
                       CompletionRequest request)
      : Generation(service, std::move(ticket), request.shared.stream.stream,
                   request.shared.stream.include_usage),
        request_(std::move(request)),
        id_(make_id("cmpl-")),
        created_(unix_now()) {}

  ApiResult<void> start() {
    hides_output_ = request_.max_tokens == 0;
    for (CompletionPrompt& prompt : request_.prompts) {
      prompt_tokens_ += static_cast<int64_t>(prompt.tokens.size());
      for (int32_t i = 0; i < request_.shared.n; ++i) {
        GenerateRequest one = request_.shared.request;
        one.prompt = prompt.tokens;
        // 0 would mean "until the context is full"; the one token is not shown.
        one.max_tokens = std::max(request_.max_tokens, 1);
        one.logprobs = request_.logprobs;
        if (request_.echo) one.prompt_logprobs = request_.logprobs;
        if (one.sampling.seed) *one.sampling.seed += static_cast<uint64_t>(i);
        choices_.push_back(Choice{&prompt});
        if (request_.echo) echo_text(choices_.back());
        XH_TRY_VOID(submit(std::move(one)));
      }
    }
    return {};
  }

 protected:
  void begin(std::string&) override {}

  void take(size_t i, StreamEvent& event, std::string& out) override {
    Choice& choice = choices_[i];
    if (request_.echo && !event.prompt_logprobs.empty()) add_prompt(choice, event.prompt_logprobs);
    if (!hides_output_) {
      for (const TokenLogprob& entry : event.logprobs) {
        choice.lists.add(tokenizer(), entry.id, &entry, choice.offset);
        choice.offset += count_characters(tokenizer().token_bytes(entry.id));
      }
    }
    const char* finish = event.finish ? finish_reason_name(*event.finish) : nullptr;
    if (hides_output_ && finish) finish = "length";
    if (streaming_) {
      if (!event.text.empty() || finish || !event.logprobs.empty())
        send(i, event.text, finish, out);
      return;
    }
    if (!hides_output_) choice.text += event.text;
    if (finish) choice.finish = finish;
  }

  json::object whole() override {
    json::array list;
    for (size_t i = 0; i < choices_.size(); ++i) {
      Choice& choice = choices_[i];
      json::object entry{{"index", i}, {"text", choice.text}};
      entry["logprobs"] = take_logprobs(choice);
      entry["finish_reason"] = choice.finish;
      list.push_back(std::move(entry));
    }
    json::object body = head();
    body["choices"] = std::move(list);
    body["usage"] = usage_object();
    return body;
  }

  json::object empty_chunk() override {
    json::object body = head();
    body["choices"] = json::array();
    return body;
  }

 private:
  struct Choice {
    const CompletionPrompt* prompt = nullptr;
    std::string text, finish;
    LogprobLists lists;
    size_t offset = 0;  // characters before the next token
  };

  json::object head() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", request_.model}};
  }

  json::value take_logprobs(Choice& choice) const {
    if (request_.logprobs < 0) return nullptr;
    return std::exchange(choice.lists, {}).take();
  }

  void send(size_t i, const std::string& text, const char* finish, std::string& out) {
    json::object entry{{"index", i}, {"text", text}};
    entry["logprobs"] = take_logprobs(choices_[i]);
    entry["finish_reason"] = finish ? json::value(finish) : json::value(nullptr);
    json::object body = head();
    body["choices"] = json::array{std::move(entry)};
    if (include_usage_) body["usage"] = nullptr;
    append_event(out, body);
  }

  void echo_text(Choice& choice) const {
    choice.text = choice.prompt->is_text ? choice.prompt->text
                                         : plain_text(tokenizer(), choice.prompt->tokens, false);
  }

  void add_prompt(Choice& choice, const std::vector<std::optional<TokenLogprob>>& entries) {
    const std::vector<TokenId>& ids = choice.prompt->tokens;
    for (size_t k = 0; k < ids.size(); ++k) {
      const TokenLogprob* entry = k < entries.size() && entries[k] ? &*entries[k] : nullptr;
      choice.lists.add(tokenizer(), ids[k], entry, choice.offset);
      choice.offset += count_characters(tokenizer().token_bytes(ids[k]));
    }
    choice.offset = count_characters(choice.text);
  }

  CompletionRequest request_;
  const std::string id_;
  const int64_t created_;
  std::vector<Choice> choices_;
};

ApiResult<std::unique_ptr<Answer>> run(const HttpRequest& http, Service& service) {
  const ClientInfo& info = service.client.info();
  XH_TRY(CompletionRequest request,
         parse_completion_request(http.body, info, service.options.default_sampling));
  XH_TRY_VOID(api::check_model(request.model, info));
  XH_TRY(auto ticket, service.admit(http.tenant));
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    CompletionPrompt& prompt = request.prompts[i];
    if (prompt.is_text) prompt.tokens = service.client.tokenizer().encode(prompt.text);
    const std::string name =
        request.prompts.size() == 1 ? std::string("prompt") : fmt::format("prompt[{}]", i);
    XH_TRY_VOID(check_context(prompt.tokens.size(), request.max_tokens, info, name));
  }
  request.shared.request.tenant = http.tenant;
  auto generation =
      std::make_unique<CompletionGeneration>(service, std::move(ticket), std::move(request));
  XH_TRY_VOID(generation->start());
  return generation;
}

}  // namespace

HttpReply api::completions(HttpRequest& request, Service& service) {
  auto answer = run(request, service);
  if (!answer) return error_response(answer.error());
  return std::move(*answer);
}

}  // namespace xh::serve
