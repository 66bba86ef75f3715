// A chat in a terminal: what was said, and one more turn of it.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/client.h"

namespace xh::cli {

class Conversation {
 public:
  // `client` must outlive it. kUnsupported without a chat template.
  static Result<Conversation> start(Client& client, std::string system);

  struct Answer {
    std::string text, reasoning;
    FinishReason finish = FinishReason::kStop;
    Usage usage;
    int dropped_turns = 0;  // oldest ones that no longer fit into the context
  };
  // Text as it arrives: what the model thinks, or what it says.
  using Listener = std::function<void(std::string_view text, bool reasoning)>;

  // Asks and reads the answer. Stopped by `stopped`, the answer so far is kept (kCancelled). When
  // the context is full the oldest turns go, never the system text or this question.
  Result<Answer> ask(const std::string& question, const GenerateRequest& how,
                     const Listener& listener, const std::function<bool()>& stopped);

  void clear();
  void set_system(std::string text);  // also clears
  size_t turns() const { return messages_.size() / 2; }
  // The whole as Markdown.
  std::string markdown() const;

 private:
  explicit Conversation(Client& client) : client_(&client) {}
  Result<std::unique_ptr<TokenStream>> submit(const GenerateRequest& how, bool& opens_reasoning,
                                              int& dropped);

  Client* client_;
  std::string system_;
  boost::json::array messages_;  // user and assistant in turn
};

}  // namespace xh::cli
