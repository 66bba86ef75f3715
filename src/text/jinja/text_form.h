// Values as text: Python's str() and repr(), and json.dumps().
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace xh::jinja {

// All of these append to `out` and are false, with an error in the runtime, past a limit.
bool write_text(Runtime& rt, const Value& v, std::string& out);  // str(v)
bool write_repr(Runtime& rt, const Value& v, std::string& out, int depth = 0);

Value to_text(Runtime& rt, const Value& v);  // str(v) as a value; a string stays itself

// The shortest digits that read back as `d`, laid out as Python does.
std::string float_repr(double d);
std::string integer_text(const Value& v);  // of kInt, kUint, kBool

struct JsonOptions {
  bool ascii = false;   // \uXXXX for everything above 0x7E
  bool pretty = false;  // one item a line, each level indented by `indent`
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
bool write_json(Runtime& rt, const Value& v, const JsonOptions& options, std::string& out,
                int level = 0);

}  // namespace xh::jinja
