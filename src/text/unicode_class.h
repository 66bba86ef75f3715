// Code points of a UTF-8 text and the Unicode properties that pre-tokenizers ask for.
// Property values are ICU's; invalid bytes are single "characters" without any property.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace xh {

// Bits of a code point's class.
enum CharClass : uint16_t {
  kUpper = 1 << 0,        // \p{Lu} \p{Lt}
  kLower = 1 << 1,        // \p{Ll}
  kUncased = 1 << 2,      // \p{Lm} \p{Lo}
  kMark = 1 << 3,         // \p{M}
  kNumber = 1 << 4,       // \p{N}
  kPunctuation = 1 << 5,  // \p{P}
  kSymbol = 1 << 6,       // \p{S}
  kSpace = 1 << 7,        // \s, the White_Space property
  kNewline = 1 << 8,      // \r \n
  kHan = 1 << 9,          // \p{Han}
  kLetter = kUpper | kLower | kUncased,
};

constexpr uint32_t kInvalidByte = 0xFFFFFFFF;

struct Char {
  uint32_t code = kInvalidByte;  // kInvalidByte when the bytes are not UTF-8
  uint32_t size = 1;             // bytes
  uint16_t cls = 0;              // CharClass bits

  bool is(uint16_t bits) const { return (cls & bits) != 0; }
};

// The class of a valid code point.
uint16_t char_class(uint32_t code);

// The character that starts at text[pos]; pos < text.size(). Strict: overlong forms, surrogates
// and values above U+10FFFF are invalid bytes. Fills `code` and `size` only.
Char decode_utf8(std::string_view text, size_t pos);

// As decode_utf8, with the class.
Char char_at(std::string_view text, size_t pos);

// Appends the UTF-8 form of a valid code point.
void append_utf8(std::string& out, uint32_t code);

}  // namespace xh
