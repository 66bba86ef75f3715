#include "text/unicode_class.h"

#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include <array>
#include <memory>

namespace xh {
namespace {

uint16_t general_category_bits(UChar32 c) {
  const uint32_t mask = U_GET_GC_MASK(c);
  if (mask & (U_GC_LU_MASK | U_GC_LT_MASK)) return kUpper;
  if (mask & U_GC_LL_MASK) return kLower;
  if (mask & (U_GC_LM_MASK | U_GC_LO_MASK)) return kUncased;
  if (mask & U_GC_M_MASK) return kMark;
  if (mask & U_GC_N_MASK) return kNumber;
  if (mask & U_GC_P_MASK) return kPunctuation;
  if (mask & U_GC_S_MASK) return kSymbol;
  return 0;
}

uint16_t compute_class(UChar32 c) {
  uint16_t bits = general_category_bits(c);
  if (u_isUWhiteSpace(c)) bits |= kSpace;
  if (c == '\r' || c == '\n') bits |= kNewline;
  UErrorCode status = U_ZERO_ERROR;
  if (c >= 0x2E80 && uscript_getScript(c, &status) == USCRIPT_HAN) bits |= kHan;
  return bits;
}

// The basic plane as a table; characters beyond it are rare enough to ask ICU each time.
using BasicPlane = std::array<uint16_t, 0x10000>;

const BasicPlane& basic_plane() {
  static const std::unique_ptr<const BasicPlane> table = [] {
    auto t = std::make_unique<BasicPlane>();
    for (uint32_t c = 0; c < t->size(); ++c) (*t)[c] = compute_class(static_cast<UChar32>(c));
    return t;
  }();
  return *table;
}

bool continues(unsigned char b) {
  return (b & 0xC0) == 0x80;
}

}  // namespace

uint16_t char_class(uint32_t code) {
  if (code < 0x10000) return basic_plane()[code];
  return code <= 0x10FFFF ? compute_class(static_cast<UChar32>(code)) : uint16_t{0};
}

Char decode_utf8(std::string_view text, size_t pos) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data()) + pos;
  const size_t left = text.size() - pos;
  Char c;
  if (p[0] < 0x80) {
    c.code = p[0];
  } else if (p[0] >= 0xC2 && p[0] <= 0xDF && left >= 2 && continues(p[1])) {
    c.code = (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    c.size = 2;
  } else if (p[0] >= 0xE0 && p[0] <= 0xEF && left >= 3 && continues(p[1]) && continues(p[2])) {
    const uint32_t code = (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    if (code >= 0x800 && (code < 0xD800 || code > 0xDFFF)) c = {code, 3, 0};
  } else if (p[0] >= 0xF0 && p[0] <= 0xF4 && left >= 4 && continues(p[1]) && continues(p[2]) &&
             continues(p[3])) {
    const uint32_t code =
        (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
    if (code >= 0x10000 && code <= 0x10FFFF) c = {code, 4, 0};
  }
  return c;
}

Char char_at(std::string_view text, size_t pos) {
  Char c = decode_utf8(text, pos);
  if (c.code != kInvalidByte) c.cls = char_class(c.code);
  return c;
}

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&out](uint32_t b) { out.push_back(static_cast<char>(b)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace xh
