#include "serve/api/token_text.h"

#include <fmt/core.h>

namespace xh::serve {

bool is_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    if (length == 0 || i + length > text.size()) return false;
    uint32_t point = length == 1 ? lead : lead & (0x7f >> length);
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3f);
    }
    if (length == 3 && (point < 0x800 || (point >= 0xd800 && point < 0xe000))) return false;
    if (length == 4 && (point < 0x10000 || point > 0x10ffff)) return false;
    i += length;
  }
  return true;
}

std::string token_text(const Tokenizer& tokenizer, TokenId id) {
  std::string bytes = tokenizer.token_bytes(id, true);
  if (is_utf8(bytes)) return bytes;
  std::string out = "bytes:";
  for (unsigned char byte : bytes) out += fmt::format("\\x{:02x}", byte);
  return out;
}

std::string plain_text(const Tokenizer& tokenizer, std::span<const TokenId> ids, bool special) {
  Detokenizer detokenizer(tokenizer, special);
  std::string out;
  for (TokenId id : ids) out += detokenizer.push(id);
  return out + detokenizer.finish();
}

size_t count_characters(std::string_view text) {
  size_t n = 0;
  for (char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}

ApiResult<std::vector<TokenId>> token_array(const boost::json::array& values, std::string_view name,
                                            int32_t vocab_size) {
  std::vector<TokenId> ids;
  ids.reserve(values.size());
  for (const auto& value : values) {
    const int64_t id = value.is_int64() ? value.get_int64() : -1;
    if (id < 0 || id >= vocab_size) {
      return refuse(400,
                    fmt::format("'{}[{}]' must be a token id between 0 and {}.", name, ids.size(),
                                vocab_size - 1),
                    fmt::format("{}[{}]", name, ids.size()), "invalid_value");
    }
    ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

}  // namespace xh::serve
