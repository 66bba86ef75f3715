// Text as Python sees it: code points, its notion of white space, case and printability.
// Input is UTF-8; a byte that is not part of a valid sequence counts as one character.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace xh::jinja {

// Decodes the character at `pos` and moves past it. An invalid byte b gives 0x110000 + b.
char32_t next_code_point(std::string_view text, size_t& pos);
// Bytes of the character that starts at `pos`.
size_t char_bytes(std::string_view text, size_t pos);
size_t count_code_points(std::string_view text);
// Byte offset of code point number `n` (text.size() when there are fewer).
size_t byte_offset(std::string_view text, size_t n);
void append_code_point(std::string& out, char32_t c);
bool valid_utf8(std::string_view text);

bool is_space(char32_t c);       // str.isspace
bool is_line_break(char32_t c);  // str.splitlines
bool is_printable(char32_t c);   // str.isprintable
bool is_identifier_start(char32_t c);
bool is_identifier_part(char32_t c);
enum class CharTest { kAlpha, kDecimal, kDigit, kNumeric, kLower, kUpper, kTitle, kCased };
bool char_is(char32_t c, CharTest test);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_casefold(std::string_view text);
std::string to_titlecase_char(char32_t c);
std::string capitalize(std::string_view text);  // first character titled, the rest lower
std::string title(std::string_view text);       // str.title: every run of cased letters
std::string swapcase(std::string_view text);

std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);
// With a set of characters instead of white space.
std::string_view strip_left(std::string_view text, std::string_view chars);
std::string_view strip_right(std::string_view text, std::string_view chars);

}  // namespace xh::jinja
