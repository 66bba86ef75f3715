// Methods of strings, mappings and lists: those of Python that do not change their object.
#pragma once

#include <string_view>

#include "text/jinja/runtime.h"

namespace xh::jinja {

using Native = Value (*)(Runtime&, const Value& self, const Args&);

struct MethodEntry {
  std::string_view name;
  Native of_string;
  Native of_list;  // and tuple, range
  Native of_dict;
};

// The method of that name on any type, or null.
const MethodEntry* find_method(std::string_view name);
bool has_method(const Value& v, const MethodEntry* entry);
// Python has it, the sandbox hides it (list.append, dict.pop …).
bool is_closed_method(const Value& v, const MethodEntry* entry);
Value call_method(Runtime& rt, const Value& self, const MethodEntry* entry, const Args& args);

// Byte offset of `needle` in `text` at or after `from`, or -1. Linear time.
int64_t find_text(Runtime& rt, std::string_view text, std::string_view needle, size_t from);
// str.replace
Value replace_text(Runtime& rt, std::string_view text, std::string_view from, std::string_view to,
                   int64_t count);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

}  // namespace xh::jinja
