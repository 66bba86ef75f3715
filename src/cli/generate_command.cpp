#include <fmt/core.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <ctime>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/engine_option.h"
#include "cli/interrupt.h"
#include "cli/sampling_option.h"
#include "text/chat_prompt.h"

namespace xh::cli {
namespace {

namespace json = boost::json;

constexpr size_t kMaxPromptBytes = 64 << 20;

struct Options {
  EngineChoice engine;
  SamplingChoice sampling;
  std::optional<std::string> prompt;
  std::string system;
  bool chat = false, json = false, special = false;
};

Result<std::vector<TokenId>> prompt_tokens(const Options& options, const Client& client,
                                           const std::string& text) {
  if (!options.chat) return client.tokenizer().encode(text);
  if (client.chat_template() == nullptr)
    return fail(ErrorCode::kUnsupported, "has no chat template", client.info().model_name,
                "Leave --chat away, or give --chat-template FILE.");
  json::array messages;
  if (!options.system.empty())
    messages.push_back(json::object{{"role", "system"}, {"content", options.system}});
  messages.push_back(json::object{{"role", "user"}, {"content", text}});
  XH_TRY(auto prompt,
         make_chat_prompt(*client.chat_template(), client.tokenizer(),
                          {{"messages", std::move(messages)}, {"add_generation_prompt", true}},
                          std::time(nullptr)));
  return std::move(prompt.tokens);
}

double per_second(int32_t tokens, double milliseconds) {
  return milliseconds > 0 ? 1000.0 * tokens / milliseconds : 0;
}

json::object result_json(const Client& client, const std::string& text,
                         const std::vector<TokenId>& tokens, const StreamEvent& last) {
  const Usage& usage = last.usage;
  return {
      {"model", client.info().model_name},
      {"text", text},
      {"tokens", json::array(tokens.begin(), tokens.end())},
      {"finish_reason", finish_name(last.finish.value_or(FinishReason::kError))},
      {"matched_stop", last.matched_stop},
      {"usage",
       {{"prompt_tokens", usage.prompt_tokens}, {"completion_tokens", usage.completion_tokens}}},
      {"timings",
       {{"prefill_ms", usage.prefill_ms},
        {"decode_ms", usage.decode_ms},
        {"prefill_tokens_per_s",
         per_second(usage.prompt_tokens - usage.cached_tokens, usage.prefill_ms)},
        {"decode_tokens_per_s", per_second(usage.completion_tokens, usage.decode_ms)}}}};
}

// Reads the stream to its end; prints what arrives unless JSON was asked for.
Result<void> read_answer(const Options& options, Client& client, TokenStream& stream) {
  const Interrupt interrupt;
  std::string text;
  std::vector<TokenId> tokens;
  for (;;) {
    if (Interrupt::asked()) return fail(ErrorCode::kCancelled, "stopped", "generate");
    auto event = stream.poll();
    if (!event) {
      usleep(2000);
      continue;
    }
    tokens.insert(tokens.end(), event->tokens.begin(), event->tokens.end());
    if (options.json) {
      text += event->text;
    } else {
      fmt::print("{}", event->text);
      std::fflush(stdout);
    }
    if (!event->finish) continue;
    if (event->error) return std::unexpected(*event->error);
    fmt::print("{}\n",
               options.json ? json::serialize(result_json(client, text, tokens, *event)) : "");
    return {};
  }
}

Result<void> run_generate(const Options& options) {
  std::string text;
  if (options.prompt) {
    text = *options.prompt;
  } else {
    if (isatty(STDIN_FILENO))
      fmt::print(stderr, "Reading the prompt from standard input; end it with Ctrl-D.\n");
    XH_TRY(text, read_stdin(kMaxPromptBytes));
    if (text.ends_with('\n')) text.pop_back();  // the end of the last line, not of the thought
  }
  XH_TRY(auto engine, start_engine(options.engine));
  GenerateRequest request = options.sampling.request();
  XH_TRY(request.prompt, prompt_tokens(options, *engine, text));
  if (request.prompt.empty())
    return fail(ErrorCode::kInvalidArgument, "the prompt is empty", "generate",
                "Give --prompt TEXT, or text on standard input.");
  request.show_special = options.special;
  XH_TRY(auto stream, engine->submit(std::move(request)));
  return read_answer(options, *engine, *stream);
}

}  // namespace

CommandBody set_up_generate(CLI::App& self) {
  auto options = std::make_shared<Options>();
  self.add_option("--prompt,-p", options->prompt, "The text to continue (default: standard input)");
  auto* chat = self.add_flag("--chat", options->chat,
                             "Put the prompt into the model's chat template, as a question");
  self.add_option("--system", options->system, "With --chat: the instruction before it")
      ->needs(chat);
  self.add_flag("--json", options->json,
                "One JSON object at the end: text, tokens, usage, timings");
  self.add_flag("--special", options->special, "Show control tokens in the text");
  add_sampling_options(self, options->sampling);
  add_engine_options(self, options->engine);
  return [options] { return run_generate(*options); };
}

}  // namespace xh::cli
