#include "cli/conversation.h"

#include <chrono>
#include <ctime>
#include <thread>

#include "text/chat_prompt.h"
#include "text/reasoning.h"

namespace xh::cli {
namespace {

namespace json = boost::json;

constexpr int32_t kLeastAnswer = 64;  // tokens an answer should have room for

json::object message(const char* role, const std::string& text) {
  return {{"role", role}, {"content", text}};
}

}  // namespace

Result<Conversation> Conversation::start(Client& client, std::string system) {
  if (client.chat_template() == nullptr)
    return fail(ErrorCode::kUnsupported, "has no chat template", client.info().model_name,
                "It continues text: xiaohu generate. Or give --chat-template FILE.");
  Conversation out(client);
  out.system_ = std::move(system);
  return out;
}

void Conversation::clear() {
  messages_.clear();
}

void Conversation::set_system(std::string text) {
  system_ = std::move(text);
  clear();
}

Result<std::unique_ptr<TokenStream>> Conversation::submit(const GenerateRequest& how,
                                                          bool& opens_reasoning, int& dropped) {
  const int32_t context = client_->info().context_length;
  for (;;) {
    json::array all;
    if (!system_.empty()) all.push_back(message("system", system_));
    for (const auto& one : messages_) all.push_back(one);
    XH_TRY(ChatPrompt prompt,
           make_chat_prompt(*client_->chat_template(), client_->tokenizer(),
                            {{"messages", std::move(all)}, {"add_generation_prompt", true}},
                            std::time(nullptr)));
    const auto used = static_cast<int64_t>(prompt.tokens.size());
    const int64_t room = context - used;
    if (room < kLeastAnswer && messages_.size() > 2) {  // a question and its answer
      messages_.erase(messages_.begin(), messages_.begin() + 2);
      ++dropped;
      continue;
    }
    GenerateRequest request = how;
    request.prompt = std::move(prompt.tokens);
    if (request.max_tokens > room) request.max_tokens = 0;  // to the end of the context
    opens_reasoning = prompt.opens_reasoning;
    return client_->submit(std::move(request));
  }
}

Result<Conversation::Answer> Conversation::ask(const std::string& question,
                                               const GenerateRequest& how, const Listener& listener,
                                               const std::function<bool()>& stopped) {
  const json::array before = messages_;
  messages_.push_back(message("user", question));
  Answer answer;
  bool opens_reasoning = false;
  auto stream = submit(how, opens_reasoning, answer.dropped_turns);
  if (!stream) {
    messages_ = before;
    return std::unexpected(std::move(stream.error()));
  }
  ReasoningSplitter splitter(opens_reasoning);
  const auto take = [&](const ReasoningSplitter::Piece& piece) {
    answer.reasoning += piece.reasoning;
    answer.text += piece.content;
    if (!piece.reasoning.empty()) listener(piece.reasoning, true);
    if (!piece.content.empty()) listener(piece.content, false);
  };
  for (bool done = false; !done;) {
    if (stopped()) {
      answer.finish = FinishReason::kCancelled;
      break;
    }
    auto event = (*stream)->poll();
    if (!event) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      continue;
    }
    take(splitter.push(event->text));
    if (!event->finish) continue;
    if (event->error) {
      messages_ = before;
      return std::unexpected(*event->error);
    }
    answer.finish = *event->finish;
    answer.usage = event->usage;
    done = true;
  }
  take(splitter.finish());
  messages_.push_back(message("assistant", answer.text));  // a thought is not repeated to the model
  return answer;
}

std::string Conversation::markdown() const {
  std::string out;
  if (!system_.empty()) out += "**System:** " + system_ + "\n\n";
  for (const auto& one : messages_) {
    const auto& object = one.as_object();
    const std::string text(object.at("content").as_string());
    out += object.at("role").as_string() == "user" ? "**You:** " : "**Model:** ";
    out += text + "\n\n";
  }
  return out;
}

}  // namespace xh::cli
