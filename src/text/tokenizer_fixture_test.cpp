// Our tokenizers against what Hugging Face `tokenizers` and `sentencepiece` answered for the same
// vocabularies and texts.
#include "text/tokenizer_fixture_test.h"

#include "text/pre_tokenizer.h"
#include "text/unicode_normalize.h"

namespace xh {
namespace {

namespace json = boost::json;

const char* const kByteLevelRules[] = {
    "gpt-2",  "smollm",  "llama-bpe", "qwen2",       "qwen35",         "seed-coder",   "gpt-4o",
    "tekken", "kimi-k2", "default",   "deepseek-v3", "deepseek-coder", "deepseek-llm",
};

class ByteLevel : public testing::TestWithParam<const char*> {};

std::string case_name(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::erase_if(name, [](char c) { return c == '-'; });
  return name;
}

TEST_P(ByteLevel, CutsWordsLikeTheRegularExpressions) {
  const json::value file = fixture::read(GetParam());
  const PreTokenizerRule* rule = find_pre_tokenizer(GetParam());
  ASSERT_NE(rule, nullptr);
  const auto texts = fixture::texts();
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string storage;
    const std::string_view text = rule->nfc ? normalize_nfc(texts[i], storage) : texts[i];
    std::vector<size_t> sizes;
    pre_tokenize(rule->stages, text, [&](std::string_view w) { sizes.push_back(w.size()); });
    EXPECT_EQ(sizes, json::value_to<std::vector<size_t>>(file.at("words").at(i)))
        << i << ": " << texts[i];
  }
}

TEST_P(ByteLevel, EncodesLikeTheJudge) {
  const json::value file = fixture::read(GetParam());
  const auto t = fixture::tokenizer(GetParam());
  ASSERT_NE(t, nullptr);
  const auto texts = fixture::texts();
  for (int round = 0; round < 2; ++round)  // the second meets what the first has remembered
    for (size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(t->encode(texts[i]), json::value_to<std::vector<TokenId>>(file.at("ids").at(i)))
          << i << ": " << texts[i];
}

TEST_P(ByteLevel, DecodesBack) {
  const auto t = fixture::tokenizer(GetParam());
  ASSERT_NE(t, nullptr);
  const bool nfc = find_pre_tokenizer(GetParam())->nfc;
  for (const std::string& text : fixture::texts()) {
    std::string storage;
    // Text between special tokens is normalised; none of them composes with its neighbours.
    const std::string expected(nfc ? normalize_nfc(text, storage) : text);
    EXPECT_EQ(t->decode(t->encode(text), true), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, ByteLevel, testing::ValuesIn(kByteLevelRules), case_name);

class SentencePiece : public testing::TestWithParam<const char*> {};

TEST_P(SentencePiece, EncodesAndDecodesLikeTheJudge) {
  const json::value file = fixture::read(GetParam());
  const auto t = fixture::tokenizer(GetParam());
  ASSERT_NE(t, nullptr);
  const auto texts = fixture::texts();
  size_t compared = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (file.at("ids").at(i).is_null()) continue;  // the judge stops at U+0000
    ++compared;
    const auto ids = json::value_to<std::vector<TokenId>>(file.at("ids").at(i));
    EXPECT_EQ(t->encode(texts[i], {.parse_special = false}), ids) << i << ": " << texts[i];
    EXPECT_EQ(t->decode(ids), std::string(file.at("decoded").at(i).as_string())) << i;
  }
  EXPECT_GT(compared, texts.size() / 2);
}

INSTANTIATE_TEST_SUITE_P(Models, SentencePiece,
                         testing::Values("sentencepiece", "sentencepiece-phrases"), case_name);

}  // namespace
}  // namespace xh
