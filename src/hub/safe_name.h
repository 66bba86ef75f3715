// Names that come from hubs, archives and manifests are untrusted: everything that becomes part of
// a path passes through here first.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace xh::hub {

// One component of a path: 1 to 200 bytes, no slash, backslash or control character, not "." or
// "..", no leading dash or dot (neither options nor hidden files).
bool is_safe_component(std::string_view name);

// A relative path of at most 8 safe components, e.g. "Q4_K_M/model-00001-of-00002.gguf".
// kInvalidArgument otherwise; `where` names who said it.
Result<void> check_relative_path(std::string_view path, std::string where);

// A name under which a model is kept: [a-z0-9][a-z0-9._-]*, at most 96 bytes.
bool is_model_name(std::string_view name);

// Makes a model name from a file's name: "Qwen3-0.6B-Q8_0.gguf" → "qwen3-0.6b-q8_0". The suffix of
// a split file goes too. Empty when nothing is left.
std::string model_name_from_file(std::string_view file);

// 64 lower-case hexadecimal digits.
bool is_sha256_hex(std::string_view text);

// "model-00001-of-00003.gguf" → {"model", 1, 3}.
struct SplitName {
  std::string stem;
  int index = 0, count = 0;
};
bool parse_split_name(std::string_view file, SplitName& out);

// The last component: "a/b/c.gguf" → "c.gguf".
std::string_view base_name(std::string_view path);

std::string lower_case(std::string_view text);  // ASCII only

}  // namespace xh::hub
