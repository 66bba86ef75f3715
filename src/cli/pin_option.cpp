#include "cli/pin_option.h"

#include <algorithm>
#include <boost/json.hpp>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "text/chat_prompt.h"

namespace xh::cli {
namespace {

namespace json = boost::json;
constexpr uintmax_t kMaxFileBytes = 64u << 20;

Result<std::string> read_file(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) return fail(ErrorCode::kIo, "cannot be read", path, "Check --pin.");
  if (bytes > kMaxFileBytes)
    return fail(ErrorCode::kTooLarge, std::to_string(bytes) + " bytes are too much to pin", path,
                "Pin a smaller file.");
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Result<std::vector<TokenId>> token_ids(const std::string& text, const std::string& path) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  std::vector<TokenId> out;
  bool good = !error && value.is_array();
  if (good)
    for (const json::value& item : value.get_array()) {
      out.push_back(item.to_number<TokenId>(error));
      good = good && !error;
    }
  if (good && !out.empty()) return out;
  return fail(ErrorCode::kInvalidArgument, "is no JSON array of token ids", path,
              "Give [1, 2, …], or a text file of another ending.");
}

// What prompts that begin with the text have in common, whatever is said after it.
Result<std::vector<TokenId>> chat_beginning(const std::string& text, bool system,
                                            const LoadedModel& model) {
  std::vector<TokenId> common;
  for (const char* rest : {"a", "1"}) {
    json::array messages;
    if (system) messages.push_back(json::object{{"role", "system"}, {"content", text}});
    messages.push_back(
        json::object{{"role", "user"}, {"content", system ? rest : text + "\n\n" + rest}});
    XH_TRY(auto prompt,
           make_chat_prompt(*model.chat_template, *model.tokenizer,
                            {{"messages", std::move(messages)}, {"add_generation_prompt", true}},
                            std::time(nullptr)));
    if (common.empty())
      common = std::move(prompt.tokens);
    else
      common.resize(
          static_cast<size_t>(std::ranges::mismatch(common, prompt.tokens).in1 - common.begin()));
  }
  return common;
}

}  // namespace

Result<std::vector<PinnedPrefix>> read_pins(const PinChoice& choice, const LoadedModel& model) {
  std::vector<PinnedPrefix> out;
  for (const std::string& path : choice.files) {
    XH_TRY(const std::string text, read_file(path));
    PinnedPrefix pin{path, {}};
    if (path.ends_with(".json")) {
      XH_TRY(pin.tokens, token_ids(text, path));
    } else if (choice.as == "text" || model.chat_template == nullptr) {
      pin.tokens = model.tokenizer->encode(text);
    } else {
      XH_TRY(pin.tokens, chat_beginning(text, choice.as == "system", model));
    }
    out.push_back(std::move(pin));
  }
  return out;
}

}  // namespace xh::cli
