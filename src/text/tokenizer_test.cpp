// Special tokens, odd input, and the refusal of broken vocabularies.
#include "text/tokenizer.h"

#include <functional>

#include "text/pre_tokenizer.h"
#include "text/tokenizer_fixture_test.h"
#include "text/tokenizer_index.h"
#include "text/unicode_normalize.h"

namespace xh {
namespace {

using Ids = std::vector<TokenId>;

TokenizerSpec small_spec() {
  return fixture::spec(fixture::read("gpt-2"));
}

std::unique_ptr<Tokenizer> make(TokenizerSpec spec) {
  auto t = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(t) << (t ? "" : t.error().to_string());
  return t ? std::move(*t) : nullptr;
}

Error refusal(const std::function<void(TokenizerSpec&)>& damage) {
  TokenizerSpec spec = small_spec();
  damage(spec);
  auto t = Tokenizer::create(std::move(spec));
  EXPECT_FALSE(t);
  return t ? Error{} : t.error();
}

TEST(Tokenizer, PutsBeginAndEndWhereTheModelAsks) {
  TokenizerSpec spec = small_spec();
  spec.bos = 7;
  spec.eos = 8;
  spec.add_bos = spec.add_eos = true;
  const auto t = make(spec);
  const Ids plain = t->encode("x", {.add_special = false});
  Ids expected = {7};
  expected.insert(expected.end(), plain.begin(), plain.end());
  expected.push_back(8);
  EXPECT_EQ(t->encode("x"), expected);
  EXPECT_EQ(t->encode(""), (Ids{7, 8}));
}

TEST(Tokenizer, ControlTokensInTextOnlyWhenAllowed) {
  const auto t = make(small_spec());
  const TokenId end = t->find("<|im_end|>");
  ASSERT_GE(end, 0);
  EXPECT_EQ(t->encode("<|im_end|>"), Ids{end});
  const Ids as_text = t->encode("<|im_end|>", {.parse_special = false});
  EXPECT_EQ(std::count(as_text.begin(), as_text.end(), end), 0);
  EXPECT_EQ(t->decode(as_text), "<|im_end|>");
  // User-defined tokens are part of the text's alphabet either way.
  EXPECT_EQ(t->encode("<think>", {.parse_special = false}), Ids{t->find("<think>")});
}

TEST(Tokenizer, TextNeverBecomesAControlTokenByMerging) {
  for (const char* pre : {"llama-bpe", "gpt-2"}) {
    TokenizerSpec spec;
    spec.model = "gpt2";
    spec.pre = pre;
    spec.tokens = {"a", "b", "ab", "ba"};
    spec.kinds = {1, 1, 3, 1};
    spec.merges = {"a b", "b a"};
    const auto t = make(spec);
    EXPECT_EQ(t->encode("ab", {.parse_special = false}), (Ids{0, 1})) << pre;
    EXPECT_EQ(t->encode("ab"), Ids{2}) << pre;
  }
}

TEST(Tokenizer, ControlTokensDecodeToNothingUnlessAsked) {
  const auto t = make(small_spec());
  const TokenId end = t->find("<|im_end|>");
  EXPECT_EQ(t->token_bytes(end), "");
  EXPECT_EQ(t->token_bytes(end, true), "<|im_end|>");
  EXPECT_EQ(t->token_bytes(-1), "");
  EXPECT_EQ(t->token_bytes(t->vocab_size()), "");
  EXPECT_TRUE(t->is_end(end));
  EXPECT_FALSE(t->is_end(0));
  EXPECT_FALSE(t->is_end(-1));
}

TEST(Tokenizer, FindTakesTheStoredText) {
  const auto t = make(small_spec());
  for (TokenId id = 0; id < t->vocab_size(); ++id)
    EXPECT_EQ(t->find(t->spec().tokens[static_cast<size_t>(id)]), id);
  EXPECT_EQ(t->find("no such token"), -1);
  EXPECT_EQ(t->find(""), -1);
}

TEST(Tokenizer, AnyBytesComeBack) {
  std::string bytes;
  for (int i = 0; i < 512; ++i) bytes.push_back(static_cast<char>(i * 37 + i / 256));
  for (const PreTokenizerRule& rule : pre_tokenizer_rules()) {
    TokenizerSpec spec = small_spec();
    spec.pre = rule.name;
    const auto t = make(spec);
    EXPECT_EQ(t->decode_bytes(t->encode(bytes)), bytes) << rule.name;
  }
  const auto t = fixture::tokenizer("sentencepiece");
  EXPECT_EQ(t->decode_bytes(t->encode(bytes)), bytes);
}

TEST(Tokenizer, DuplicateTokensMeanTheFirst) {
  TokenizerSpec spec = small_spec();
  const auto before = make(spec)->encode("the the");
  spec.tokens.insert(spec.tokens.end(), spec.tokens.begin(), spec.tokens.end());
  spec.kinds.insert(spec.kinds.end(), spec.kinds.begin(), spec.kinds.end());
  EXPECT_EQ(make(spec)->encode("the the"), before);
}

TEST(Tokenizer, MissingBytesBecomeUnknown) {
  TokenizerSpec spec;
  spec.model = "gpt2";
  spec.pre = "gpt-2";
  spec.tokens = {"a", "?", "b"};
  EXPECT_EQ(make(spec)->encode("axb"), (Ids{0, 2}));
  spec.unknown = 1;
  EXPECT_EQ(make(spec)->encode("axb"), (Ids{0, 1, 2}));
}

TEST(TokenizerSpec, RefusalsNameTheFieldAndTheRemedy) {
  EXPECT_EQ(refusal([](auto& s) { s.model = "t5"; }).code, ErrorCode::kUnsupported);
  const Error pre = refusal([](auto& s) { s.pre = "qwen9\n"; });
  EXPECT_EQ(pre.code, ErrorCode::kUnsupported);
  EXPECT_NE(pre.message.find("qwen9?"), std::string::npos);
  EXPECT_NE(pre.remedy.find("qwen2"), std::string::npos);
  EXPECT_EQ(pre.where, "tokenizer.ggml.pre");

  EXPECT_EQ(refusal([](auto& s) { s.tokens.clear(); }).where, "tokenizer.ggml.tokens");
  EXPECT_EQ(refusal([](auto& s) { s.kinds.pop_back(); }).where, "tokenizer.ggml.token_type");
  EXPECT_EQ(refusal([](auto& s) { s.kinds[3] = 9; }).where, "tokenizer.ggml.token_type[3]");
  EXPECT_EQ(refusal([](auto& s) { s.scores = {1}; }).where, "tokenizer.ggml.scores");
  EXPECT_EQ(refusal([](auto& s) { s.eos = 100000; }).where, "tokenizer.ggml.eos_token_id");
  EXPECT_EQ(refusal([](auto& s) { s.bos = -2; }).where, "tokenizer.ggml.bos_token_id");
  EXPECT_EQ(refusal([](auto& s) { s.end_tokens = {-5}; }).where, "tokenizer.ggml.eot_token_id");
  EXPECT_EQ(refusal([](auto& s) { s.merges[2] = "nospace"; }).where, "tokenizer.ggml.merges[2]");
  EXPECT_EQ(refusal([](auto& s) { s.merges = {"zzzz yyyy"}; }).where, "tokenizer.ggml.merges");
  EXPECT_EQ(refusal([](auto& s) { s.merges.clear(); }).where, "tokenizer.ggml.merges");
  EXPECT_EQ(refusal([](auto& s) { s.tokens[5].assign(20000, 'a'); }).code, ErrorCode::kTooLarge);
  EXPECT_EQ(refusal([](auto& s) {
              s.tokens[5].assign(2000, 'a');
              s.kinds[5] = 3;
            }).where,
            "tokenizer.ggml.tokens[5]");
}

TEST(TokenizerSpec, SentencePieceNeedsScores) {
  TokenizerSpec spec = fixture::spec(fixture::read("sentencepiece"));
  spec.scores[4] = std::nanf("");
  auto t = Tokenizer::create(spec);
  ASSERT_FALSE(t);
  EXPECT_EQ(t.error().where, "tokenizer.ggml.scores[4]");
  spec.scores.clear();
  t = Tokenizer::create(spec);
  ASSERT_FALSE(t);
  EXPECT_EQ(t.error().where, "tokenizer.ggml.scores");
}

TEST(SpecialTokens, LongestAtTheLeftmostPlace) {
  SpecialTokens s;
  s.add("<a", 1);
  s.add("<a>", 2);
  s.add("<a><b", 3);
  s.add("<a", 9);  // a second of the same text is ignored
  s.finish();
  auto m = s.next("x<a><c", 0);
  EXPECT_EQ(m.start, 1u);
  EXPECT_EQ(m.size, 3u);
  EXPECT_EQ(m.id, 2);
  m = s.next("<a", 0);
  EXPECT_EQ(m.id, 1);
  EXPECT_EQ(s.next("<a><b", 0).id, 3);
  EXPECT_EQ(s.next("<a><b", 1).start, std::string_view::npos);
  EXPECT_EQ(s.find("<a>"), 2);
  EXPECT_EQ(s.find("<"), -1);
}

TEST(Detokenizer, HoldsBackUnfinishedCharacters) {
  const auto t = make(small_spec());
  const std::string text = "\xF0\x9F\x90\xAF\xE5\xB0\x8F";
  Detokenizer d(*t);
  std::string out;
  // The judge's alphabet comes first: a token per byte exists for every byte.
  for (const char c : text) {
    const Ids one = t->encode(std::string(1, c));
    ASSERT_EQ(one.size(), 1u);
    const std::string piece = d.push(one[0]);
    EXPECT_TRUE(piece.empty() || piece == "\xF0\x9F\x90\xAF" || piece == "\xE5\xB0\x8F");
    out += piece;
  }
  EXPECT_EQ(out + d.finish(), text);
}

TEST(Detokenizer, ReplacesWhatCanNeverBecomeACharacter) {
  const auto t = make(small_spec());
  const auto through = [&](std::string_view bytes) {
    Detokenizer d(*t);
    std::string out;
    for (const char c : bytes) out += d.push(t->encode(std::string(1, c))[0]);
    return out + d.finish();
  };
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(through("a\xFFz"), "a" + r + "z");
  EXPECT_EQ(through("\xE4\xBD"), r);  // the end of the text
  EXPECT_EQ(through("\xE4\xBD"
                    "a"),
            r + "a");                             // one for the unfinished character
  EXPECT_EQ(through("\xC0\xAF"), r + r);          // overlong
  EXPECT_EQ(through("\xED\xA0\x80"), r + r + r);  // surrogate
  EXPECT_EQ(through("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(through("\x80\xBF"), r + r);
  Detokenizer d(*t);
  EXPECT_EQ(d.finish(), "");
}

TEST(Detokenizer, SentencePieceDropsOnlyTheSpaceItAdded) {
  const auto t = fixture::tokenizer("sentencepiece");
  for (const std::string text : {" the", "the", "  x", "", " "}) {
    Detokenizer d(*t);
    std::string out;
    for (const TokenId id : t->encode(text)) out += d.push(id);
    EXPECT_EQ(out + d.finish(), text);
    EXPECT_EQ(t->decode_bytes(t->encode(text)), text);
  }
}

TEST(Detokenizer, SentencePieceDropsOneSpaceEvenWhenItIsATokenOfItsOwn) {
  TokenizerSpec spec;
  spec.model = "llama";
  spec.tokens = {"a", "\u2581", "\u2581a"};
  spec.scores = {-1, -2, -3};
  const auto t = make(spec);
  EXPECT_EQ(t->encode(" a"), (Ids{1, 2}));
  EXPECT_EQ(t->decode_bytes(Ids{1, 2}), " a");
  EXPECT_EQ(t->decode(Ids{1, 2}), " a");
}

TEST(NormalizeNfc, ComposesAroundInvalidBytes) {
  std::string storage;
  EXPECT_EQ(normalize_nfc("cafe\xCC\x81", storage), "caf\xC3\xA9");
  EXPECT_EQ(normalize_nfc("e\xFF\xCC\x81", storage), "e\xFF\xCC\x81");
  EXPECT_EQ(normalize_nfc("\xFF"
                          "e\xCC\x81\xE4",
                          storage),
            "\xFF\xC3\xA9\xE4");
  const std::string_view plain = "\xE4\xBD\xA0 plain";
  EXPECT_EQ(normalize_nfc(plain, storage).data(), plain.data());
}

TEST(NormalizeNfc, LongRunsOfMarksStayAndCostLittle) {
  std::string marks = "e\xCC\x81 e";
  for (int i = 0; i < 200000; ++i) marks += "\xCC\x81";
  for (int i = 0; i < 200000; ++i) marks += "\xCC\x96";
  marks += "e\xCC\x81";
  std::string storage;
  const std::string_view out = normalize_nfc(marks, storage);
  EXPECT_EQ(out.size(), marks.size() - 2);  // the two lone letters compose, the run stays
  EXPECT_TRUE(out.starts_with("\xC3\xA9 e\xCC\x81"));
  EXPECT_TRUE(out.ends_with("\xCC\x96\xC3\xA9"));
}

}  // namespace
}  // namespace xh
