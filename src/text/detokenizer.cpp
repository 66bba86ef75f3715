#include "text/tokenizer.h"
#include "text/unicode_class.h"

namespace xh {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// How many bytes at text[pos], which do not begin a valid character, belong together: the
// longest beginning of a character, at least 1 (Unicode 15, "maximal subpart", section 3.9).
// `open` is set when the text ends there, so that more bytes could still complete it.
size_t broken_size(std::string_view text, size_t pos, bool& open) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const size_t left = text.size() - pos;
  const unsigned char lead = byte(0);
  size_t want = 1;
  unsigned char low = 0x80, high = 0xBF;  // bounds of the second byte
  if (lead >= 0xC2 && lead <= 0xDF) want = 2;
  if (lead >= 0xE0 && lead <= 0xEF) want = 3;
  if (lead >= 0xF0 && lead <= 0xF4) want = 4;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  size_t n = 1;
  for (; n < want && n < left; ++n) {
    if (byte(n) < low || byte(n) > high) break;
    low = 0x80;
    high = 0xBF;
  }
  open = n < want && n == left;
  return n;
}

}  // namespace

std::string Detokenizer::push(TokenId id) {
  std::string bytes = tokenizer_->token_bytes(id, special_);
  if (bytes.empty()) return {};
  if (first_) tokenizer_->strip_leading_space(bytes, id);
  first_ = false;
  pending_ += bytes;
  std::string out;
  size_t pos = 0;
  while (pos < pending_.size()) {
    const Char c = decode_utf8(pending_, pos);
    if (c.code != kInvalidByte) {
      out.append(pending_, pos, c.size);
      pos += c.size;
      continue;
    }
    bool open = false;
    const size_t size = broken_size(pending_, pos, open);
    if (open) break;
    out += kReplacement;
    pos += size;
  }
  pending_.erase(0, pos);
  return out;
}

std::string Detokenizer::finish() {
  // What is pending is the beginning of one character.
  const bool held = !pending_.empty();
  pending_.clear();
  return held ? std::string(kReplacement) : std::string();
}

}  // namespace xh
