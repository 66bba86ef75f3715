#include "text/chat_template.h"

#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace xh {

struct ChatTemplate::Impl {
  std::unique_ptr<jinja::Template> parsed;
  std::string label;
  TemplateLimits limits;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::string label,
                                         TemplateLimits limits) {
  XH_TRY(auto parsed, jinja::parse_template(source, label));
  return ChatTemplate(std::make_unique<Impl>(Impl{std::move(parsed), std::move(label), limits}));
}

Result<std::string> ChatTemplate::render(const boost::json::object& variables, int64_t now) const {
  jinja::Interpreter interpreter(*impl_->parsed, impl_->limits, variables, now);
  std::string out;
  if (interpreter.run(out)) return out;
  Error error = interpreter.error();
  error.where = jinja::place(impl_->label, interpreter.line(), interpreter.column());
  return std::unexpected(std::move(error));
}

}  // namespace xh
