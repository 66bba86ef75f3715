// str's methods, as a table of names for methods.cpp.
#pragma once

#include <span>
#include <utility>

#include "text/jinja/methods.h"

namespace xh::jinja {

// All but count and index, which lists have too.
std::span<const std::pair<std::string_view, Native>> string_methods();
Value string_count(Runtime& rt, const Value& self, const Args& args);
Value string_index(Runtime& rt, const Value& self, const Args& args);

}  // namespace xh::jinja
