// Chat templates from model files: any bytes, over a small conversation. The first line may hold
// variables as JSON ("{…}\n"); the rest is the template.
#include <cstdint>
#include <string_view>

#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  boost::json::object variables;
  if (input.starts_with("{\"")) {
    size_t end = input.find('\n');
    boost::system::error_code ec;
    boost::json::value parsed = boost::json::parse(input.substr(0, end), ec);
    if (!ec && parsed.is_object()) variables = std::move(parsed.get_object());
    input = end == input.npos ? "" : input.substr(end + 1);
  } else {
    variables = {{"messages",
                  {{{"role", "user"}, {"content", "hé 小"}},
                   {{"role", "assistant"}, {"content", nullptr}, {"n", 1.5}}}},
                 {"add_generation_prompt", true},
                 {"tools", nullptr}};
  }
  auto parsed = xh::ChatTemplate::parse(input, "fuzz",
                                        {.fuel = 20'000, .depth = 64, .output_bytes = 1 << 20});
  if (parsed) (void)parsed->render(variables, 1'700'000'000);
  return 0;
}
