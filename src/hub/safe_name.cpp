#include "hub/safe_name.h"

#include <algorithm>
#include <charconv>

namespace xh::hub {
namespace {

constexpr size_t kMaxComponentBytes = 200;
constexpr size_t kMaxModelNameBytes = 96;
constexpr int kMaxComponents = 8;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_model_char(char c) {
  return (c >= 'a' && c <= 'z') || is_digit(c) || c == '.' || c == '_' || c == '-';
}

}  // namespace

bool is_safe_component(std::string_view name) {
  if (name.empty() || name.size() > kMaxComponentBytes) return false;
  if (name.front() == '.' || name.front() == '-') return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f || c == '/' || c == '\\';
  });
}

Result<void> check_relative_path(std::string_view path, std::string where) {
  std::string_view rest = path;
  for (int count = 0; count < kMaxComponents; ++count) {
    const size_t slash = rest.find('/');
    if (!is_safe_component(rest.substr(0, slash))) break;
    if (slash == std::string_view::npos) return {};
    rest.remove_prefix(slash + 1);
  }
  std::string shown;
  for (const char c : path.substr(0, 120)) shown += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return fail(ErrorCode::kInvalidArgument,
              "\"" + shown + "\" is not a file name that can be used here", std::move(where),
              "A name is relative, without \"..\", hidden or empty parts.");
}

bool is_model_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxModelNameBytes && name.front() != '.' &&
         name.front() != '-' && name.front() != '_' &&
         std::all_of(name.begin(), name.end(), is_model_char);
}

std::string model_name_from_file(std::string_view file) {
  std::string name = lower_case(base_name(file));
  if (SplitName split; parse_split_name(name, split)) {
    name = split.stem;
  } else if (name.ends_with(".gguf")) {
    name.resize(name.size() - 5);
  }
  for (char& c : name) {
    if (!is_model_char(c)) c = '-';
  }
  name.erase(0, std::min(name.find_first_not_of("._-"), name.size()));
  name.resize(std::min(name.size(), kMaxModelNameBytes));
  return name;
}

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f');
         });
}

bool parse_split_name(std::string_view file, SplitName& out) {
  // STEM-NNNNN-of-NNNNN.gguf
  constexpr size_t kTail = sizeof("-00001-of-00003.gguf") - 1;
  if (file.size() <= kTail) return false;
  const std::string_view tail = file.substr(file.size() - kTail);
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || lower_case(tail.substr(15)) != ".gguf")
    return false;
  const auto number = [&](size_t at, int& value) {
    const auto digits = tail.substr(at, 5);
    if (!std::all_of(digits.begin(), digits.end(), is_digit)) return false;
    return std::from_chars(digits.data(), digits.data() + 5, value).ec == std::errc{};
  };
  out.stem = file.substr(0, file.size() - kTail);
  return number(1, out.index) && number(10, out.count) && out.index >= 1 && out.index <= out.count;
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace xh::hub
