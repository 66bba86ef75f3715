#include "text/jinja/utf8.h"

#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include <vector>

namespace xh::jinja {

namespace {

constexpr char32_t kInvalidBase = 0x110000;

bool ascii_only(std::string_view text) {
  for (char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  return true;
}

UChar32 as_icu(char32_t c) {
  return static_cast<UChar32>(c);
}

// Runs an ICU whole-string case mapping in the root locale. Text that is not UTF-8 stays as it is.
template <class Map>
std::string map_case(std::string_view text, Map map) {
  UErrorCode status = U_ZERO_ERROR;
  std::vector<UChar> source(text.size() + 1), target;
  int32_t n = 0;
  u_strFromUTF8(source.data(), static_cast<int32_t>(source.size()), &n, text.data(),
                static_cast<int32_t>(text.size()), &status);
  if (U_FAILURE(status)) return std::string(text);
  target.resize(static_cast<size_t>(n) * 3 + 1);
  status = U_ZERO_ERROR;
  int32_t m = map(target.data(), static_cast<int32_t>(target.size()), source.data(), n, &status);
  if (U_FAILURE(status)) return std::string(text);
  std::string out(static_cast<size_t>(m) * 3 + 1, '\0');
  int32_t bytes = 0;
  status = U_ZERO_ERROR;
  u_strToUTF8(out.data(), static_cast<int32_t>(out.size()), &bytes, target.data(), m, &status);
  if (U_FAILURE(status)) return std::string(text);
  out.resize(static_cast<size_t>(bytes));
  return out;
}

std::string ascii_map(std::string_view text, char from, char to, int shift) {
  std::string out(text);
  for (char& c : out)
    if (c >= from && c <= to) c = static_cast<char>(c + shift);
  return out;
}

bool contains(std::string_view chars, char32_t c) {
  for (size_t i = 0; i < chars.size();)
    if (next_code_point(chars, i) == c) return true;
  return false;
}

// Start of the character that ends at `end`.
size_t previous(std::string_view text, size_t end) {
  size_t start = end - 1;
  for (int back = 0;
       back < 3 && start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80; ++back)
    --start;
  return start + char_bytes(text, start) == end ? start : end - 1;
}

template <class Keep>
std::string_view strip_left_if(std::string_view text, Keep stripped) {
  size_t pos = 0;
  while (pos < text.size()) {
    size_t next = pos;
    if (!stripped(next_code_point(text, next))) break;
    pos = next;
  }
  return text.substr(pos);
}

template <class Keep>
std::string_view strip_right_if(std::string_view text, Keep stripped) {
  size_t end = text.size();
  while (end > 0) {
    size_t start = previous(text, end), at = start;
    if (!stripped(next_code_point(text, at))) break;
    end = start;
  }
  return text.substr(0, end);
}

}  // namespace

char32_t next_code_point(std::string_view text, size_t& pos) {
  unsigned char b = static_cast<unsigned char>(text[pos]);
  if (b < 0x80) {
    ++pos;
    return b;
  }
  size_t n = b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : 2;
  char32_t c = n == 4 ? b & 0x07 : n == 3 ? b & 0x0F : b & 0x1F;
  bool ok = b >= 0xC2 && b <= 0xF4 && pos + n <= text.size();
  for (size_t i = 1; ok && i < n; ++i) {
    unsigned char t = static_cast<unsigned char>(text[pos + i]);
    ok = (t & 0xC0) == 0x80;
    c = (c << 6) | (t & 0x3F);
  }
  ok = ok && !(n == 3 && (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF))) &&
       !(n == 4 && (c < 0x10000 || c > 0x10FFFF));
  if (!ok) {
    ++pos;
    return kInvalidBase + b;
  }
  pos += n;
  return c;
}

size_t char_bytes(std::string_view text, size_t pos) {
  size_t next = pos;
  next_code_point(text, next);
  return next - pos;
}

size_t count_code_points(std::string_view text) {
  size_t n = 0;
  for (size_t i = 0; i < text.size(); ++n) next_code_point(text, i);
  return n;
}

size_t byte_offset(std::string_view text, size_t n) {
  size_t pos = 0;
  for (; n > 0 && pos < text.size(); --n) next_code_point(text, pos);
  return pos;
}

void append_code_point(std::string& out, char32_t c) {
  auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c >= kInvalidBase) {
    put(c - kInvalidBase);
  } else if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6)), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12)), put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18)), put(0x80 | ((c >> 12) & 0x3F)), put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

bool valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();)
    if (next_code_point(text, i) >= kInvalidBase) return false;
  return true;
}

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_line_break(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  if (c >= kInvalidBase) return false;
  switch (u_charType(as_icu(c))) {
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_SURROGATE:
    case U_PRIVATE_USE_CHAR:
    case U_UNASSIGNED:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR: return false;
    default: return true;
  }
}

bool is_identifier_start(char32_t c) {
  if (c < 0x80) return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return c < kInvalidBase && u_hasBinaryProperty(as_icu(c), UCHAR_XID_START);
}

bool is_identifier_part(char32_t c) {
  if (c < 0x80) return is_identifier_start(c) || (c >= '0' && c <= '9');
  return c < kInvalidBase && u_hasBinaryProperty(as_icu(c), UCHAR_XID_CONTINUE);
}

bool char_is(char32_t c, CharTest test) {
  if (c >= kInvalidBase) return false;
  UChar32 u = as_icu(c);
  switch (test) {
    case CharTest::kAlpha: return u_isalpha(u);
    case CharTest::kDecimal: return u_charType(u) == U_DECIMAL_DIGIT_NUMBER;
    case CharTest::kDigit: {
      auto type = u_getIntPropertyValue(u, UCHAR_NUMERIC_TYPE);
      return type == U_NT_DECIMAL || type == U_NT_DIGIT;
    }
    case CharTest::kNumeric: return u_getIntPropertyValue(u, UCHAR_NUMERIC_TYPE) != U_NT_NONE;
    case CharTest::kLower: return u_hasBinaryProperty(u, UCHAR_LOWERCASE);
    case CharTest::kUpper: return u_hasBinaryProperty(u, UCHAR_UPPERCASE);
    case CharTest::kTitle: return u_istitle(u);
    case CharTest::kCased:
      return u_hasBinaryProperty(u, UCHAR_LOWERCASE) || u_hasBinaryProperty(u, UCHAR_UPPERCASE) ||
             u_istitle(u);
  }
  return false;
}

std::string to_upper(std::string_view text) {
  if (ascii_only(text)) return ascii_map(text, 'a', 'z', -32);
  return map_case(text, [](UChar* to, int32_t n, const UChar* from, int32_t m, UErrorCode* status) {
    return u_strToUpper(to, n, from, m, "", status);
  });
}

std::string to_lower(std::string_view text) {
  if (ascii_only(text)) return ascii_map(text, 'A', 'Z', 32);
  return map_case(text, [](UChar* to, int32_t n, const UChar* from, int32_t m, UErrorCode* status) {
    return u_strToLower(to, n, from, m, "", status);
  });
}

std::string to_casefold(std::string_view text) {
  if (ascii_only(text)) return ascii_map(text, 'A', 'Z', 32);
  return map_case(text, [](UChar* to, int32_t n, const UChar* from, int32_t m, UErrorCode* status) {
    return u_strFoldCase(to, n, from, m, U_FOLD_CASE_DEFAULT, status);
  });
}

std::string to_titlecase_char(char32_t c) {
  std::string one;
  if (c >= kInvalidBase) {
    append_code_point(one, c);
    return one;
  }
  UChar32 t = u_totitle(as_icu(c));
  append_code_point(one, static_cast<char32_t>(t));
  // Characters whose title form is several letters (ß → Ss) have no simple mapping.
  if (t != as_icu(c)) return one;
  std::string upper = to_upper(one);
  if (count_code_points(upper) < 2) return one;
  size_t first = char_bytes(upper, 0);
  return upper.substr(0, first) + to_lower(std::string_view(upper).substr(first));
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  size_t pos = 0;
  char32_t first = next_code_point(text, pos);
  return to_titlecase_char(first) + to_lower(text.substr(pos));
}

std::string title(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    size_t start = pos;
    char32_t c = next_code_point(text, pos);
    if (!char_is(c, CharTest::kCased)) {
      out.append(text.substr(start, pos - start));
      continue;
    }
    out += to_titlecase_char(c);
    size_t rest = pos, end = pos;
    while (end < text.size()) {
      size_t next = end;
      if (!char_is(next_code_point(text, next), CharTest::kCased)) break;
      end = next;
    }
    out += to_lower(text.substr(rest, end - rest));
    pos = end;
  }
  return out;
}

std::string swapcase(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    size_t start = pos;
    char32_t c = next_code_point(text, pos);
    std::string_view one = text.substr(start, pos - start);
    // Simple mappings first: the general ones build strings, and few letters need them (ß → SS).
    if (char_is(c, CharTest::kUpper)) {
      UChar32 lower = u_tolower(as_icu(c));
      lower != as_icu(c) ? append_code_point(out, static_cast<char32_t>(lower))
                         : void(out += to_lower(one));
    } else if (char_is(c, CharTest::kLower)) {
      UChar32 upper = u_toupper(as_icu(c));
      upper != as_icu(c) ? append_code_point(out, static_cast<char32_t>(upper))
                         : void(out += to_upper(one));
    } else {
      out += one;
    }
  }
  return out;
}

std::string_view strip_left(std::string_view text) {
  return strip_left_if(text, is_space);
}
std::string_view strip_right(std::string_view text) {
  return strip_right_if(text, is_space);
}
std::string_view strip_left(std::string_view text, std::string_view chars) {
  return strip_left_if(text, [&](char32_t c) { return contains(chars, c); });
}
std::string_view strip_right(std::string_view text, std::string_view chars) {
  return strip_right_if(text, [&](char32_t c) { return contains(chars, c); });
}

}  // namespace xh::jinja
