#include "text/sentencepiece.h"

#include <algorithm>

#include "text/tokenizer_spec.h"
#include "text/unicode_class.h"

namespace xh {
namespace {

constexpr std::string_view kBlank = "\xE2\x96\x81";             // U+2581, stands for a space
constexpr std::string_view kUnknownSurface = " \xE2\x81\x87 ";  // U+2047, as sentencepiece shows it
constexpr size_t kMaxWord = size_t{1} << 26;  // bounds the memory of merging; longer words are cut
// Symbols that are no token: a character (its code point added) or a stray byte.
constexpr TokenId kLooseChar = 0x40000000;
constexpr TokenId kLooseByte = 0x50000000;

void replace_all(std::string_view from, std::string_view what, std::string_view with,
                 std::string& out) {
  for (size_t pos = 0;;) {
    const size_t hit = from.find(what, pos);
    out += from.substr(pos, hit - pos);
    if (hit == std::string_view::npos) return;
    out += with;
    pos = hit + what.size();
  }
}

// "<0x0A>" → 10; -1 for anything else.
int byte_token_value(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  const int high = digit(text[3]), low = digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool has_inner_blank(std::string_view token) {
  size_t pos = 0;
  while (token.substr(pos, kBlank.size()) == kBlank) pos += kBlank.size();
  return token.find(kBlank, pos) != std::string_view::npos;
}

}  // namespace

struct SentencePieceTokenizer::Encoding {
  std::vector<TokenId>& out;
  Symbols symbols;
  std::string text;            // with U+2581 for spaces
  bool after_unknown = false;  // unknown characters in a row are one unknown token
};

Result<std::unique_ptr<Tokenizer>> SentencePieceTokenizer::create(TokenizerSpec spec) {
  if (spec.scores.empty())
    return fail(ErrorCode::kCorrupt, "the token scores are missing", "tokenizer.ggml.scores",
                "convert the model again");
  std::unique_ptr<SentencePieceTokenizer> t(new SentencePieceTokenizer(std::move(spec)));
  t->index_tokens();
  t->derive_merges();
  return t;
}

void SentencePieceTokenizer::index_tokens() {
  index_.reserve(spec_.tokens.size());
  byte_ids_.fill(-1);
  words_ = true;
  for (TokenId id = 0; id < vocab_size(); ++id) {
    const std::string& text = spec_.tokens[id];
    const TokenKind kind = token_kind(spec_, id);
    index_.append(text);
    const int byte = byte_token_value(text);
    const bool is_byte = kind == TokenKind::kByte || (spec_.kinds.empty() && byte >= 0);
    if (is_byte && byte >= 0 && byte_ids_[byte] < 0) byte_ids_[byte] = id;
    if (kind == TokenKind::kControl) control_.add(text, id);
    if (kind == TokenKind::kUserDefined) {
      std::string blanked;
      replace_all(text, " ", kBlank, blanked);
      user_defined_.add(std::move(blanked), id);
    }
    const bool findable = kind == TokenKind::kNormal || kind == TokenKind::kUserDefined;
    if (!findable || is_byte || text.empty()) continue;
    index_.insert(id);
    words_ = words_ && !has_inner_blank(text);
  }
  control_.finish();
  user_defined_.finish();
}

// The symbol for text[pos, pos + size): its token, or a loose character, or -1.
TokenId SentencePieceTokenizer::symbol_of(std::string_view text, size_t pos, size_t size) const {
  if (const TokenId id = index_.find(text.substr(pos, size)); id >= 0) return id;
  const Char c = decode_utf8(text, pos);
  if (c.size != size) return -1;
  return c.code == kInvalidByte ? kLooseByte + static_cast<unsigned char>(text[pos])
                                : kLooseChar + static_cast<TokenId>(c.code);
}

// A pair merges when its text is a token; the token's score says how early. Equal scores get
// equal ranks, so that the leftmost of them goes first.
void SentencePieceTokenizer::derive_merges() {
  std::vector<TokenId> order;
  for (TokenId id = 0; id < vocab_size(); ++id)
    if (!index_.bytes(id).empty() && index_.find(index_.bytes(id)) == id) order.push_back(id);
  std::stable_sort(order.begin(), order.end(),
                   [this](TokenId a, TokenId b) { return spec_.scores[a] > spec_.scores[b]; });
  merges_.reserve(order.size() * 2);
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && spec_.scores[order[i]] != spec_.scores[order[i - 1]]) ++rank;
    const std::string_view text = index_.bytes(order[i]);
    for (size_t cut = decode_utf8(text, 0).size; cut < text.size();
         cut += decode_utf8(text, cut).size) {
      const TokenId left = symbol_of(text, 0, cut);
      const TokenId right = left < 0 ? -1 : symbol_of(text, cut, text.size() - cut);
      if (right >= 0) merges_.add(left, right, {rank, order[i]});
    }
  }
}

std::vector<TokenId> SentencePieceTokenizer::encode(std::string_view text,
                                                    EncodeOptions options) const {
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 2);
  Encoding to{out, {}, {}, false};
  if (options.add_special && spec_.add_bos && spec_.bos >= 0) out.push_back(spec_.bos);
  for (size_t pos = 0; pos < text.size();) {
    const auto m = options.parse_special ? control_.next(text, pos) : SpecialTokens::Match{};
    const size_t end = std::min(m.start, text.size());
    encode_text(text.substr(pos, end - pos), to);
    if (m.size > 0) out.push_back(m.id);
    pos = end + m.size;
  }
  if (options.add_special && spec_.add_eos && spec_.eos >= 0) out.push_back(spec_.eos);
  return out;
}

// Text between control tokens.
void SentencePieceTokenizer::encode_text(std::string_view text, Encoding& to) const {
  if (text.empty()) return;
  to.text.clear();
  const auto blanks = static_cast<size_t>(std::count(text.begin(), text.end(), ' '));
  to.text.reserve(text.size() + blanks * (kBlank.size() - 1) + kBlank.size());
  if (spec_.add_space_prefix) to.text = kBlank;
  replace_all(text, " ", kBlank, to.text);
  to.after_unknown = false;
  const std::string_view all = to.text;
  for (size_t pos = 0; pos < all.size();) {
    const SpecialTokens::Match m = user_defined_.next(all, pos);
    const size_t end = std::min(m.start, all.size());
    encode_run(all.substr(pos, end - pos), to);
    if (m.size > 0) {
      to.out.push_back(m.id);
      to.after_unknown = false;
    }
    pos = end + m.size;
  }
}

// Text between user-defined tokens. Where the vocabulary allows, words are merged one by one,
// a word being blanks and what follows them.
void SentencePieceTokenizer::encode_run(std::string_view text, Encoding& to) const {
  size_t start = 0;
  const auto cut_at = [&](size_t pos) {
    encode_word(text.substr(start, pos - start), to);
    start = pos;
  };
  for (size_t pos = 0; words_ && (pos = text.find(kBlank, pos)) != std::string_view::npos;) {
    const bool begins =
        pos >= kBlank.size() ? text.substr(pos - kBlank.size(), kBlank.size()) != kBlank : pos > 0;
    if (begins) cut_at(pos);
    pos += kBlank.size();
  }
  while (text.size() - start > kMaxWord) cut_at(start + kMaxWord);
  cut_at(text.size());
}

void SentencePieceTokenizer::encode_word(std::string_view word, Encoding& to) const {
  to.symbols.clear();
  to.symbols.reserve(word.size());
  for (size_t pos = 0; pos < word.size();) {
    const size_t size = decode_utf8(word, pos).size;
    to.symbols.push_back(symbol_of(word, pos, size));
    pos += size;
  }
  merge_symbols(merges_, to.symbols);
  for (const TokenId symbol : to.symbols) emit(symbol, to);
}

void SentencePieceTokenizer::emit(TokenId symbol, Encoding& to) const {
  if (symbol < kLooseChar) {
    to.out.push_back(symbol);
    to.after_unknown = false;
    return;
  }
  std::string bytes;
  if (symbol >= kLooseByte) {
    bytes.push_back(static_cast<char>(symbol - kLooseByte));
  } else {
    append_utf8(bytes, static_cast<uint32_t>(symbol - kLooseChar));
  }
  const bool covered = std::all_of(bytes.begin(), bytes.end(), [this](char c) {
    return byte_ids_[static_cast<unsigned char>(c)] >= 0;
  });
  if (covered) {
    for (const char c : bytes) to.out.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  } else if (!to.after_unknown && spec_.unknown >= 0) {
    to.out.push_back(spec_.unknown);
  }
  to.after_unknown = !covered;
}

std::string SentencePieceTokenizer::token_bytes(TokenId id, bool special) const {
  if (id < 0 || id >= vocab_size()) return {};
  const std::string& text = spec_.tokens[id];
  const TokenKind kind = token_kind(spec_, id);
  if (kind == TokenKind::kControl) return special ? text : std::string();
  if (kind == TokenKind::kUnknown) return special ? text : std::string(kUnknownSurface);
  const int byte = byte_token_value(text);
  if (byte >= 0 && (kind == TokenKind::kByte || spec_.kinds.empty()))
    return std::string(1, static_cast<char>(byte));
  std::string out;
  replace_all(text, kBlank, " ", out);
  return out;
}

TokenId SentencePieceTokenizer::find(std::string_view token) const {
  if (const TokenId id = control_.find(token); id >= 0) return id;
  if (const TokenId id = index_.find(token); id >= 0) return id;
  const auto it = std::find(spec_.tokens.begin(), spec_.tokens.end(), token);
  return it == spec_.tokens.end() ? -1 : static_cast<TokenId>(it - spec_.tokens.begin());
}

}  // namespace xh
