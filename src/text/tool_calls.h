// Finds calls of tools in an answer while it streams.
// Calls stand between tags (<tool_call>…</tool_call> and its relatives) in one of these forms:
//   {"name": "f", "arguments": {…}}                              JSON (Hermes, Qwen)
//   <function=f><parameter=p>value</parameter></function>        functions (Qwen-Coder, Seed)
//   f<arg_key>p</arg_key><arg_value>value</arg_value>            keys and values (GLM)
//   <invoke name="f"><parameter name="p">value</parameter></invoke>   invocations, any number
//                                                                (MiniMax; DeepSeek with its
//                                                                prefix)
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace xh {

struct ToolTag;  // an opening tag and its closing one

struct ToolCall {
  std::string name;
  std::string arguments;  // the text of a JSON object
};

// One per stream. What looks like a call and cannot be read as one stays text.
class ToolCallParser {
 public:
  // `tools`: the request's list, for the types of parameters in protocols without quotes; may be
  // null, and must outlive the parser.
  explicit ToolCallParser(const boost::json::array* tools = nullptr) : tools_(tools) {}

  struct Piece {
    std::string content;
    std::vector<ToolCall> calls;
  };
  // What is certain now; an unfinished call or a possible beginning of a tag is held back.
  Piece push(std::string_view text);
  Piece finish();

 private:
  void step(Piece& out, bool last);
  const ToolTag* pass_text(Piece& out, bool last);  // the tag that follows, or null

  const boost::json::array* tools_;
  std::string held_;
  size_t searched_ = 0;  // bytes of held_ known to hold no end of the open tag
  bool after_call_ = false;
};

}  // namespace xh
