// From a conversation to the token ids that the model sees.
#pragma once

#include <boost/json.hpp>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace xh {

struct ChatPrompt {
  std::vector<TokenId> tokens;
  bool opens_reasoning = false;  // the template already wrote the opening tag of the thought
};

// `variables` hold messages, tools, add_generation_prompt …; bos_token and eos_token are added.
// Control tokens written inside a message's text are broken up, so that a quoted "<|im_end|>" can
// neither end the turn nor open another one. `now`: Unix time for templates that print the date.
Result<ChatPrompt> make_chat_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                    boost::json::object variables, int64_t now);

// Puts a zero-width space behind the first character of every control token in `text`.
std::string break_control_tokens(std::string_view text, const Tokenizer& tokenizer);

}  // namespace xh
