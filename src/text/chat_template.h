// Chat templates: the Jinja subset that model makers ship, run by a sealed interpreter.
#pragma once

#include <boost/json.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace xh {

// Limits of one rendering. All are enforced; exceeding one is an error, never a hang.
struct TemplateLimits {
  uint64_t fuel = 2'000'000;            // evaluation steps
  uint32_t depth = 128;                 // nested calls, loops and expressions
  uint64_t output_bytes = 64ull << 20;  // also bounds every intermediate string
};

// Parsed once, rendered many times; immutable and safe from any thread.
// No I/O, no attributes beyond the documented ones; values are JSON-like.
class ChatTemplate {
 public:
  // Errors name line and column in `label`.
  static Result<ChatTemplate> parse(std::string_view source, std::string label = "chat template",
                                    TemplateLimits limits = {});
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Renders with `variables` (messages, tools, add_generation_prompt, bos_token, …) in scope.
  // raise_exception() in the template becomes kInvalidArgument with its message.
  // `now` is the Unix time used by strftime_now, seconds, UTC.
  Result<std::string> render(const boost::json::object& variables, int64_t now = 0) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace xh
