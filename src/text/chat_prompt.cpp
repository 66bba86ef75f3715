#include "text/chat_prompt.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "text/reasoning.h"

namespace xh {
namespace json = boost::json;

namespace {

// The control tokens of a vocabulary, ready to be searched for.
struct ControlTokens {
  explicit ControlTokens(const TokenizerSpec& spec) {
    for (size_t i = 0; i < spec.tokens.size() && i < spec.kinds.size(); ++i) {
      const std::string& token = spec.tokens[i];
      if (spec.kinds[i] != int32_t(TokenKind::kControl) || token.size() < 3) continue;
      names.insert(token);
      first[static_cast<unsigned char>(token[0])] = true;
      if (std::find(lengths.begin(), lengths.end(), token.size()) == lengths.end()) {
        lengths.push_back(token.size());
      }
    }
  }

  bool at(std::string_view text) const {
    return std::any_of(lengths.begin(), lengths.end(), [&](size_t length) {
      return length <= text.size() && names.contains(text.substr(0, length));
    });
  }

  std::unordered_set<std::string_view> names;
  std::vector<size_t> lengths;
  bool first[256] = {};
};

std::string break_up(std::string_view text, const ControlTokens& control) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (control.first[static_cast<unsigned char>(text[i])] && control.at(text.substr(i))) {
      out += "\u200b";
    }
  }
  return out;
}

// Every string inside, keys left alone. Depth is bounded by the JSON reader's limit.
void break_up_all(json::value& value, const ControlTokens& control) {
  if (auto* text = value.if_string()) {
    const std::string broken = break_up(*text, control);
    if (broken.size() != text->size()) *text = broken;
  } else if (auto* array = value.if_array()) {
    for (json::value& item : *array) break_up_all(item, control);
  } else if (auto* object = value.if_object()) {
    for (auto& entry : *object) break_up_all(entry.value(), control);
  }
}

json::value token_or_empty(const Tokenizer& tokenizer, TokenId id) {
  const auto& tokens = tokenizer.spec().tokens;
  if (id < 0 || static_cast<size_t>(id) >= tokens.size()) return "";
  return json::value(tokens[static_cast<size_t>(id)]);
}

}  // namespace

std::string break_control_tokens(std::string_view text, const Tokenizer& tokenizer) {
  return break_up(text, ControlTokens(tokenizer.spec()));
}

Result<ChatPrompt> make_chat_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                    json::object variables, int64_t now) {
  const ControlTokens control(tokenizer.spec());
  for (const char* name : {"messages", "tools"}) {
    if (json::value* value = variables.if_contains(name)) break_up_all(*value, control);
  }
  variables["bos_token"] = token_or_empty(tokenizer, tokenizer.spec().bos);
  variables["eos_token"] = token_or_empty(tokenizer, tokenizer.spec().eos);
  XH_TRY(const std::string text, chat_template.render(variables, now));
  ChatPrompt prompt;
  // The template itself writes bos where the model wants it.
  prompt.tokens = tokenizer.encode(text, {.add_special = false, .parse_special = true});
  prompt.opens_reasoning = ends_inside_reasoning(text);
  return prompt;
}

}  // namespace xh
