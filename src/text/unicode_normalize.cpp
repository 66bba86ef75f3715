#include "text/unicode_normalize.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

#include "text/unicode_class.h"

namespace xh {
namespace {

constexpr size_t kMaxMarks = 256;
constexpr size_t kMaxChunk = 1 << 20;  // bytes given to ICU at a time

const icu::Normalizer2* nfc() {
  static const icu::Normalizer2* const instance = [] {
    UErrorCode status = U_ZERO_ERROR;
    const auto* n = icu::Normalizer2::getNFCInstance(status);
    return U_SUCCESS(status) ? n : nullptr;
  }();
  return instance;
}

icu::StringPiece piece(std::string_view s) {
  return {s.data(), static_cast<int32_t>(s.size())};
}

// Below U+0300 every character is in form C and none combines with what is before it.
bool only_low(std::string_view text) {
  for (const unsigned char b : text)
    if (b >= 0xCC) return false;
  return true;
}

void append_normal(std::string_view text, std::string& out) {
  UErrorCode status = U_ZERO_ERROR;
  if (text.empty()) return;
  if (only_low(text) || nfc()->isNormalizedUTF8(piece(text), status)) {
    out += text;
    return;
  }
  status = U_ZERO_ERROR;
  std::string normal;
  icu::StringByteSink<std::string> sink(&normal);
  nfc()->normalizeUTF8(0, piece(text), sink, nullptr, status);
  out += U_SUCCESS(status) ? std::string_view(normal) : text;
}

// No earlier character can change this one; Han ideographs and Hangul are decided without ICU.
bool starts_afresh(uint32_t code) {
  return code < 0x300 || (code >= 0x3400 && code <= 0x9FFF) || (code >= 0xAC00 && code <= 0xD7A3) ||
         nfc()->hasBoundaryBefore(static_cast<UChar32>(code));
}

// A stretch of text and what to do with it.
struct Stretch {
  size_t end = 0;
  bool verbatim = false;
};

// The next stretch from `pos`: invalid bytes and too long runs of marks alone (verbatim), or
// valid text up to one of those, cut before a character that no earlier one can change.
Stretch next_stretch(std::string_view text, size_t pos) {
  const size_t start = pos;
  size_t marks = 0, marks_start = pos;
  while (pos < text.size()) {
    const Char c = decode_utf8(text, pos);
    if (c.code == kInvalidByte)
      return pos > start ? Stretch{pos, marks > kMaxMarks} : Stretch{pos + 1, true};
    const bool boundary = starts_afresh(c.code);
    if (boundary) {
      if (marks > kMaxMarks) return {pos, true};
      if (pos - start >= kMaxChunk) return {pos, false};
      marks = 0;
      marks_start = pos;
    } else if (++marks == kMaxMarks + 1 && marks_start > start) {
      return {marks_start, false};
    }
    pos += c.size;
  }
  return {pos, marks > kMaxMarks};
}

}  // namespace

std::string_view normalize_nfc(std::string_view text, std::string& storage) {
  if (only_low(text) || nfc() == nullptr) return text;
  storage.clear();
  storage.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const Stretch s = next_stretch(text, pos);
    const std::string_view part = text.substr(pos, s.end - pos);
    if (s.verbatim) {
      storage += part;
    } else {
      append_normal(part, storage);
    }
    pos = s.end;
  }
  return storage == text ? text : std::string_view(storage);
}

}  // namespace xh
