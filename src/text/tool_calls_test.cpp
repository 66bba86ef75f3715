#include "text/tool_calls.h"

#include <gtest/gtest.h>

namespace xh {
namespace {

namespace json = boost::json;

const json::value kTools = json::parse(R"([{"type": "function", "function": {"name": "buy",
    "parameters": {"type": "object", "properties": {
      "item": {"type": "string"}, "count": {"type": "integer"}, "open": {"type": "boolean"}}}}}])");

// "content|name(arguments)|name(arguments)", from pieces of `size` bytes.
std::string parse(std::string_view text, size_t size = 1000) {
  ToolCallParser parser(&kTools.as_array());
  std::string content, calls;
  const auto add = [&](const ToolCallParser::Piece& piece) {
    content += piece.content;
    for (const ToolCall& call : piece.calls) calls += "|" + call.name + "(" + call.arguments + ")";
  };
  for (size_t at = 0; at < text.size(); at += size) add(parser.push(text.substr(at, size)));
  add(parser.finish());
  return content + calls;
}

TEST(ToolCallParser, ReadsTheSameHoweverTheTextArrives) {
  struct Case {
    const char* text;
    const char* expected;
  };
  const Case cases[] = {
      {"just text ", "just text "},
      {"1 < 2 <tool", "1 < 2 <tool"},
      // JSON
      {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"x\"]}}\n</tool_call>",
       "|f({\"a\":[1,\"x\"]})"},
      {"See: \n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>"
       "{\"name\":\"g\"}</tool_call>\n",
       "See:|f({})|g({})"},
      {"<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}</tool_call>", "|f({\"a\":1})"},
      {"<tool_call>{\"name\":\"f\",\"parameters\":{\"a\":null}}</tool_call> and more",
       " and more|f({\"a\":null})"},
      // functions
      {"<tool_call>\n<function=buy>\n<parameter=item>\n5\n</parameter>\n<parameter=count>\n5\n"
       "</parameter>\n</function>\n</tool_call>",
       "|buy({\"item\":\"5\",\"count\":5})"},
      {"<tool_call><function=buy></function></tool_call>", "|buy({})"},
      // keys and values
      {"<tool_call>buy\n<arg_key>item</arg_key>\n<arg_value>true</arg_value>\n<arg_key>open"
       "</arg_key>\n<arg_value>true</arg_value>\n</tool_call>",
       "|buy({\"item\":\"true\",\"open\":true})"},
      // invocations
      {"Now:<minimax:tool_call>\n<invoke name=\"buy\">\n<parameter name=\"item\">5</parameter>\n"
       "<parameter name=\"count\">5</parameter>\n</invoke>\n<invoke name=\"f\"></invoke>\n"
       "</minimax:tool_call>",
       "Now:|buy({\"item\":\"5\",\"count\":5})|f({})"},
      {"<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" "
       "string=\"true\">7</｜DSML｜parameter>\n<｜DSML｜parameter name=\"b\" string=\"false\">[7]"
       "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
       "|f({\"a\":\"7\",\"b\":[7]})"},
      {"<seed:tool_call><function=f></function></seed:tool_call>", "|f({})"},
      {"<minimax:tool_call><invoke></invoke></minimax:tool_call>",
       "<minimax:tool_call><invoke></invoke></minimax:tool_call>"},
      // what cannot be read stays text
      {"<tool_call>{\"name\": 5}</tool_call>", "<tool_call>{\"name\": 5}</tool_call>"},
      {"<tool_call>{\"name\": \"f\"</tool_call>x", "<tool_call>{\"name\": \"f\"</tool_call>x"},
      {"<tool_call></tool_call>", "<tool_call></tool_call>"},
      {"<tool_call>{\"name\": \"f\", \"argu", "<tool_call>{\"name\": \"f\", \"argu"},
      {"<tool_call>f<arg_key>a</arg_key>", "<tool_call>f<arg_key>a</arg_key>"},
      // ended by an end-of-turn token instead of the closing tag
      {"<tool_call>{\"name\":\"f\",\"arguments\":{}}", "|f({})"},
  };
  for (const Case& c : cases) {
    for (size_t size : {1, 2, 3, 7, 1000}) {
      EXPECT_EQ(parse(c.text, size), c.expected) << c.text << " by " << size;
    }
  }
}

TEST(ToolCallParser, StaysLinear) {
  std::string text = "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"";
  text += std::string(1 << 20, '<') + "\"}}</tool_call>";
  const std::string out = parse(text, 16);
  EXPECT_EQ(out.size(), (1u << 20) + std::string("|f({\"a\":\"\"})").size());
}

TEST(ToolCallParser, SurvivesDeepArguments) {
  const std::string text =
      "<tool_call>{\"name\":\"f\",\"arguments\":" + std::string(100'000, '[') + "</tool_call>";
  EXPECT_EQ(parse(text), text);
}

}  // namespace
}  // namespace xh
