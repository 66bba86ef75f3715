// Tokenizers on any text, and on any vocabulary.
//
// Byte 0: which vocabulary. 0 … n - 1: a small fixed one under pre-tokenizer rule n; then
// SentencePiece with and without byte tokens; above that the vocabulary itself is built from the
// input. Byte 1: options. The rest is the text.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode_class.h"

namespace {

using namespace xh;

void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

std::string alphabet_text(unsigned char b) {
  static const auto letters = [] {
    std::map<int, std::string> m;
    uint32_t next = 0x100;
    for (int i = 0; i < 256; ++i) {
      const bool visible = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
      append_utf8(m[i], visible ? static_cast<uint32_t>(i) : next++);
    }
    return m;
  }();
  return letters.at(b);
}

TokenizerSpec byte_level_spec(std::string_view pre) {
  TokenizerSpec s;
  s.model = "gpt2";
  s.pre = pre;
  for (int b = 0; b < 256; ++b) s.tokens.push_back(alphabet_text(static_cast<unsigned char>(b)));
  const auto merge = [&s](std::string l, std::string r) {
    s.merges.push_back(l + " " + r);
    s.tokens.push_back(l + r);
  };
  const std::string space = alphabet_text(' ');
  merge("a", "a"), merge("aa", "aa"), merge(space, space), merge(space, "a"), merge("b", "c");
  merge("a", "bc"), merge("aa", "a"), merge(alphabet_text(0xE4), alphabet_text(0xBD));
  merge(alphabet_text('\n'), alphabet_text('\n')), merge("'", "s"), merge("0", "0");
  s.kinds.assign(s.tokens.size(), 1);
  for (const auto& [text, kind] : {std::pair{"<|x|>", 3}, {"<|x|>y", 3}, {"<t>", 4}, {"  ", 4}}) {
    s.tokens.push_back(text);
    s.kinds.push_back(kind);
  }
  return s;
}

TokenizerSpec sentencepiece_spec(bool bytes) {
  TokenizerSpec s;
  s.model = "llama";
  const auto add = [&s](std::string text, float score, int32_t kind) {
    s.tokens.push_back(std::move(text));
    s.scores.push_back(score);
    s.kinds.push_back(kind);
  };
  add("<unk>", 0, 2), add("<s>", 0, 3), add("</s>", 0, 3);
  s.unknown = 0, s.bos = 1, s.eos = 2;
  char name[8];
  for (int b = 0; bytes && b < 256; ++b) {
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    add(name, 0, 6);
  }
  const char* pieces[] = {"a",   "b",  "\u2581", "\u2581a", "aa", "ab", "\u2581\u2581",
                          "aab", "你", "你好",   "ba"};
  float score = -1;
  for (const char* p : pieces) add(p, score--, 1);
  add("<t>", 0, 4);
  s.add_space_prefix = bytes;
  return s;
}

// A vocabulary out of the input: pieces of up to 4 bytes, merges and kinds from the same bytes.
TokenizerSpec wild_spec(std::string_view& in) {
  const auto byte = [&in]() -> unsigned {
    if (in.empty()) return 0;
    const unsigned b = static_cast<unsigned char>(in[0]);
    in.remove_prefix(1);
    return b;
  };
  TokenizerSpec s;
  s.model = byte() % 2 ? "gpt2" : "llama";
  s.pre = pre_tokenizer_rules()[byte() % pre_tokenizer_rules().size()].name;
  const unsigned tokens = byte() % 40, merges = byte() % 40;
  for (unsigned i = 0; i < tokens; ++i) {
    const size_t n = std::min<size_t>(byte() % 5, in.size());
    s.tokens.emplace_back(in.substr(0, n));
    in.remove_prefix(n);
    s.kinds.push_back(static_cast<int32_t>(byte() % 8));
    s.scores.push_back(static_cast<float>(byte() % 8));
  }
  for (unsigned i = 0; i < merges && tokens > 0; ++i)
    s.merges.push_back(s.tokens[byte() % tokens] + " " + s.tokens[byte() % tokens]);
  s.bos = static_cast<TokenId>(byte()) - 1;
  s.unknown = static_cast<TokenId>(byte()) - 1;
  s.add_bos = s.bos >= 0;
  return s;
}

bool valid_utf8(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const Char c = decode_utf8(text, pos);
    if (c.code == kInvalidByte) return false;
    pos += c.size;
  }
  return true;
}

void check(const Tokenizer& t, std::string_view text, EncodeOptions options, bool exact) {
  const auto ids = t.encode(text, options);
  for (const TokenId id : ids) require(id >= 0 && id < t.vocab_size(), "an id out of range");
  require(t.encode(text, options) == ids, "two answers for one text");
  require(valid_utf8(t.decode(ids, true)), "decoded text is not UTF-8");
  if (exact) require(t.decode_bytes(ids, true) == text, "decode(encode(x)) is not x");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::string_view in(reinterpret_cast<const char*>(data), size);
  const unsigned which = data[0];
  EncodeOptions options;
  options.parse_special = data[1] & 1;
  in.remove_prefix(2);
  static std::map<unsigned, std::unique_ptr<Tokenizer>> fixed;
  const auto rules = pre_tokenizer_rules();
  if (which < rules.size() + 2) {
    auto& t = fixed[which];
    if (!t) {
      auto made =
          Tokenizer::create(which < rules.size() ? byte_level_spec(rules[which].name)
                                                 : sentencepiece_spec(which == rules.size()));
      require(made.has_value(), "a sound vocabulary was refused");
      t = std::move(*made);
    }
    // What NFC, U+2581 or missing byte tokens change does not come back.
    const bool exact = which < rules.size()
                           ? !rules[which].nfc
                           : which == rules.size() && in.find("\u2581") == in.npos &&
                                 in.find("<s>") == in.npos && in.find("</s>") == in.npos;
    check(*t, in, options, exact);
    return 0;
  }
  auto t = Tokenizer::create(wild_spec(in));
  if (t) check(**t, in, options, false);
  return 0;
}
