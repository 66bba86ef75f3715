// Tokens → ast.h, by recursive descent with bounded nesting. The grammar is Jinja's, with the
// extensions transformers turns on: loop controls and {% generation %}.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "text/jinja/ast.h"

namespace xh::jinja {

constexpr size_t kMaxSourceBytes = 1 << 20;

// `source` need not outlive the call. Errors carry "label:line:column" in `where`.
Result<std::unique_ptr<Template>> parse_template(std::string_view source, const std::string& label);

// "label:line:column"
std::string place(const std::string& label, uint32_t line, uint32_t column);

}  // namespace xh::jinja
