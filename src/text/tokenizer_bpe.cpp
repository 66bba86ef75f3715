#include "text/tokenizer_bpe.h"

#include <algorithm>
#include <system_error>
#include <thread>

#include "text/tokenizer_spec.h"
#include "text/unicode_class.h"
#include "text/unicode_normalize.h"

namespace xh {
namespace {

constexpr size_t kMaxWord = size_t{1} << 26;  // bounds the memory of merging; longer words are cut
constexpr uint32_t kAlphabetEnd = 0x144;

// The printable alphabet: bytes that are visible in Latin-1 stand for themselves, the others
// follow from U+0100 on, in order. byte_of[code point]: -1 when not in the alphabet.
std::array<int16_t, kAlphabetEnd> make_byte_of() {
  std::array<int16_t, kAlphabetEnd> byte_of;
  byte_of.fill(-1);
  uint32_t next = 0x100;
  for (int16_t b = 0; b < 256; ++b) {
    const bool visible = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    byte_of[visible ? static_cast<uint32_t>(b) : next++] = b;
  }
  return byte_of;
}

// The bytes that a token's text stands for; false when it is not written in the alphabet.
bool decode_alphabet(std::string_view text, std::string& out) {
  static const auto byte_of = make_byte_of();
  out.clear();
  for (size_t pos = 0; pos < text.size();) {
    const Char c = decode_utf8(text, pos);
    if (c.code >= kAlphabetEnd || byte_of[c.code] < 0) return false;
    out.push_back(static_cast<char>(byte_of[c.code]));
    pos += c.size;
  }
  return true;
}

}  // namespace

struct BpeTokenizer::Encoding {
  std::vector<TokenId>& out;
  Symbols symbols;  // of one word
  std::string normal;
};

Result<std::unique_ptr<Tokenizer>> BpeTokenizer::create(TokenizerSpec spec) {
  const PreTokenizerRule* rule = find_pre_tokenizer(spec.pre);
  if (rule == nullptr) {
    std::string known;
    for (const PreTokenizerRule& r : pre_tokenizer_rules())
      known += (known.empty() ? "" : ", ") + std::string(r.name);
    return fail(ErrorCode::kUnsupported, "unknown pre-tokenizer \"" + printable(spec.pre) + "\"",
                "tokenizer.ggml.pre", "known are: " + known);
  }
  std::unique_ptr<BpeTokenizer> t(new BpeTokenizer(std::move(spec), *rule));
  t->index_tokens();
  XH_TRY_VOID(t->read_merges());
  return t;
}

BpeTokenizer::BpeTokenizer(TokenizerSpec spec, const PreTokenizerRule& rule)
    : Tokenizer(std::move(spec)),
      rule_(rule),
      whole_(std::make_unique<std::atomic<uint8_t>[]>(spec_.tokens.size())) {}

void BpeTokenizer::index_tokens() {
  index_.reserve(spec_.tokens.size());
  byte_ids_.fill(-1);
  std::string bytes;
  for (TokenId id = 0; id < vocab_size(); ++id) {
    const std::string& text = spec_.tokens[id];
    const TokenKind kind = token_kind(spec_, id);
    const bool literal = kind == TokenKind::kControl || kind == TokenKind::kUserDefined ||
                         kind == TokenKind::kUnknown;
    const bool decoded = !literal && decode_alphabet(text, bytes);
    index_.append(decoded ? std::string_view(bytes) : std::string_view(text));
    if (kind == TokenKind::kControl || kind == TokenKind::kUserDefined) specials_.add(text, id);
    if (kind == TokenKind::kUserDefined) user_defined_.add(text, id);
    // Text must never become a control token by way of merges.
    if (kind == TokenKind::kControl || kind == TokenKind::kUnknown || text.empty()) continue;
    index_.insert(id);
    if (decoded && bytes.size() == 1) {
      TokenId& byte_id = byte_ids_[static_cast<unsigned char>(bytes[0])];
      if (byte_id < 0) byte_id = id;
    }
  }
  specials_.finish();
  user_defined_.finish();
}

bool BpeTokenizer::find_merge(std::string_view line, MergeTokens& out) const {
  const size_t space = line.find(' ', 1);
  if (space == std::string_view::npos || space + 1 == line.size()) return false;
  std::string left, right;
  if (!decode_alphabet(line.substr(0, space), left)) left = line.substr(0, space);
  if (!decode_alphabet(line.substr(space + 1), right)) right = line.substr(space + 1);
  out.left = index_.find(left);
  out.right = index_.find(right);
  out.both = index_.find(left += right);
  return true;
}

Result<void> BpeTokenizer::read_merges() {
  const size_t n = spec_.merges.size();
  merges_.reserve(n);
  // Looking up is most of the time it takes to make a tokenizer, and each merge is on its own.
  std::vector<MergeTokens> found(n);
  const size_t n_threads = n < 10'000 ? 1 : std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
  std::vector<size_t> first_bad(n_threads, n);
  {
    std::vector<std::jthread> threads;
    auto work = [&](size_t t) {
      for (size_t i = n * t / n_threads; i < n * (t + 1) / n_threads; ++i)
        if (!find_merge(spec_.merges[i], found[i])) first_bad[t] = std::min(first_bad[t], i);
    };
    for (size_t t = 1; t < n_threads; ++t) {
      try {
        threads.emplace_back(work, t);
      } catch (const std::system_error&) {  // the machine gives no more threads
        work(t);
      }
    }
    work(0);
  }
  if (const size_t bad = std::ranges::min(first_bad); bad < n)
    return fail(
        ErrorCode::kCorrupt,
        "merge is not two tokens with a space between: \"" + printable(spec_.merges[bad]) + "\"",
        "tokenizer.ggml.merges[" + std::to_string(bad) + "]", "convert the model again");
  for (size_t i = 0; i < n; ++i) {
    const auto [left, right, both] = found[i];
    if (left < 0 || right < 0 || both < 0) continue;  // never applies: the vocabulary was cut down
    merges_.add(left, right, {static_cast<uint32_t>(i), both});
  }
  if (merges_.size() == 0 && !spec_.merges.empty())
    return fail(ErrorCode::kCorrupt, "none of the merges names tokens of this vocabulary",
                "tokenizer.ggml.merges", "convert the model again");
  if (spec_.merges.empty() && index_.longest() > 1 && !rule_.ignore_merges)
    return fail(ErrorCode::kCorrupt, "the merge list is missing", "tokenizer.ggml.merges",
                "convert the model again");
  return {};
}

std::vector<TokenId> BpeTokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 2);
  Encoding to{out, {}, {}};
  if (options.add_special && spec_.add_bos && spec_.bos >= 0) out.push_back(spec_.bos);
  const SpecialTokens& specials = options.parse_special ? specials_ : user_defined_;
  for (size_t pos = 0; pos < text.size();) {
    const SpecialTokens::Match m = specials.next(text, pos);
    const size_t end = std::min(m.start, text.size());
    encode_text(text.substr(pos, end - pos), to);
    if (m.size > 0) out.push_back(m.id);
    pos = end + m.size;
  }
  if (options.add_special && spec_.add_eos && spec_.eos >= 0) out.push_back(spec_.eos);
  return out;
}

void BpeTokenizer::encode_text(std::string_view text, Encoding& to) const {
  if (rule_.nfc) text = normalize_nfc(text, to.normal);
  pre_tokenize(rule_.stages, text, [this, &to](std::string_view word) {
    for (; word.size() > kMaxWord; word.remove_prefix(kMaxWord))
      encode_word(word.substr(0, kMaxWord), to);
    encode_word(word, to);
  });
}

void BpeTokenizer::encode_word(std::string_view word, Encoding& to) const {
  const TokenId id = index_.find(word);
  uint8_t known = 0;
  if (id >= 0) {
    known = rule_.ignore_merges ? 1 : whole_[id].load(std::memory_order_relaxed);
    if (known == 1) {
      to.out.push_back(id);
      return;
    }
  }
  to.symbols.clear();
  to.symbols.reserve(word.size());
  for (const char c : word) {
    TokenId byte_id = byte_ids_[static_cast<unsigned char>(c)];
    if (byte_id < 0) byte_id = spec_.unknown;  // a vocabulary that lacks bytes
    if (byte_id >= 0) to.symbols.push_back(byte_id);
  }
  merge_symbols(merges_, to.symbols);
  if (id >= 0 && known == 0) {
    const bool itself = to.symbols.size() == 1 && to.symbols[0] == id;
    whole_[id].store(itself ? 1 : 2, std::memory_order_relaxed);
  }
  to.out.insert(to.out.end(), to.symbols.begin(), to.symbols.end());
}

std::string BpeTokenizer::token_bytes(TokenId id, bool special) const {
  if (id < 0 || id >= vocab_size()) return {};
  const TokenKind kind = token_kind(spec_, id);
  if (!special && (kind == TokenKind::kControl || kind == TokenKind::kUnknown)) return {};
  return std::string(index_.bytes(id));
}

TokenId BpeTokenizer::find(std::string_view token) const {
  if (const TokenId id = specials_.find(token); id >= 0) return id;
  std::string bytes;
  if (!decode_alphabet(token, bytes)) bytes = token;
  const TokenId id = index_.find(bytes);
  return id >= 0 && spec_.tokens[id] == token ? id : -1;
}

}  // namespace xh
