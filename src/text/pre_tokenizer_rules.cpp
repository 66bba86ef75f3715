// Which stages a pre-tokenizer name stands for. The expressions are those of the models'
// tokenizer.json files; where a GGUF name stands for several models, the first of them.
#include <algorithm>
#include <iterator>

#include "text/pre_tokenizer.h"

namespace xh {
namespace {

using Kind = Stage::Kind;

constexpr Stage kGpt2[] = {{.kind = Kind::kGpt2}};
constexpr Stage kSingleDigitsGpt2[] = {{.kind = Kind::kRun, .set = CharSet::kNumbers, .max = 1},
                                       {.kind = Kind::kGpt2}};
constexpr Stage kLlama3[] = {{.kind = Kind::kWords, .max = 3}};
constexpr Stage kQwen2[] = {{.kind = Kind::kWords, .max = 1}};
constexpr Stage kQwen35[] = {{.kind = Kind::kWords, .max = 1, .marks = true}};
constexpr Stage kSeedCoder[] = {{.kind = Kind::kWords, .max = 1, .newlines = false}};
constexpr Stage kGpt4o[] = {{.kind = Kind::kCasedWords, .max = 3, .slash = true}};
constexpr Stage kTekken[] = {
    {.kind = Kind::kCasedWords, .max = 1, .slash = true, .contractions = false}};
constexpr Stage kKimiK2[] = {{.kind = Kind::kCasedWords, .max = 3, .han = true}};
constexpr Stage kDeepSeekV3[] = {{.kind = Kind::kRun, .set = CharSet::kNumbers, .max = 3},
                                 {.kind = Kind::kRun, .set = CharSet::kHanKana},
                                 {.kind = Kind::kDeepSeek}};
constexpr Stage kDeepSeekCoder[] = {
    {.kind = Kind::kRun, .set = CharSet::kNewlines, .max = 1},
    {.kind = Kind::kRun, .set = CharSet::kLetters, .space_prefix = true},
    {.kind = Kind::kRun, .set = CharSet::kPunctuation, .space_prefix = true},
    {.kind = Kind::kRun, .set = CharSet::kEastern},
    {.kind = Kind::kRun, .set = CharSet::kNumbers, .max = 1}};
constexpr Stage kDeepSeekLlm[] = {
    {.kind = Kind::kRun, .set = CharSet::kNewlines, .max = 1},
    {.kind = Kind::kRun, .set = CharSet::kCasedLetters, .space_prefix = true},
    {.kind = Kind::kRun, .set = CharSet::kWidePunctuation, .space_prefix = true},
    {.kind = Kind::kTrailingSpace},
    {.kind = Kind::kRun, .set = CharSet::kEastern},
    {.kind = Kind::kRun, .set = CharSet::kNumbers}};
// What converters meant before they wrote a name into the file.
constexpr Stage kDefault[] = {
    {.kind = Kind::kRun, .set = CharSet::kPunctuationAndMath},
    {.kind = Kind::kGpt2},
    {.kind = Kind::kRun, .set = CharSet::kNumbers},
    {.kind = Kind::kRun, .set = CharSet::kAsciiDigits, .min = 3, .max = 3}};

constexpr bool kIgnoreMerges = true, kFollowMerges = false, kNfc = true;

constexpr PreTokenizerRule kRules[] = {
    {"default", kDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"mpt", kGpt2},
    {"olmo", kGpt2},
    {"exaone4", kGpt2},
    {"smollm", kSingleDigitsGpt2},
    {"starcoder", kSingleDigitsGpt2},
    {"refact", kSingleDigitsGpt2},
    {"command-r", kSingleDigitsGpt2},
    {"exaone", kSingleDigitsGpt2},
    {"llama-bpe", kLlama3, kIgnoreMerges},
    {"llama3", kLlama3, kIgnoreMerges},
    {"llama-v3", kLlama3, kIgnoreMerges},
    {"falcon3", kLlama3, kIgnoreMerges},
    {"lfm2", kLlama3, kIgnoreMerges},
    {"smaug-bpe", kLlama3},
    {"dbrx", kLlama3},
    {"glm4", kLlama3},
    {"chatglm-bpe", kLlama3},
    {"qwen2", kQwen2, kFollowMerges, kNfc},
    {"qwen35", kQwen35, kFollowMerges, kNfc},
    {"deepseek-r1-qwen", kQwen2},
    {"stablelm2", kQwen2},
    {"megrez", kQwen2},
    {"hunyuan", kQwen2},
    {"grok-2", kQwen2},
    {"seed-coder", kSeedCoder},
    {"gpt-4o", kGpt4o},
    {"llama4", kGpt4o},
    {"minimax-m2", kGpt4o},
    {"tekken", kTekken, kIgnoreMerges},
    {"kimi-k2", kKimiK2},
    {"deepseek-v3", kDeepSeekV3},
    {"joyai-llm", kDeepSeekV3},
    {"hunyuan-dense", kDeepSeekV3},
    {"deepseek-coder", kDeepSeekCoder},
    {"deepseek-llm", kDeepSeekLlm},
};

}  // namespace

const PreTokenizerRule* find_pre_tokenizer(std::string_view name) {
  if (name.empty()) name = "default";
  const auto it = std::find_if(std::begin(kRules), std::end(kRules),
                               [name](const PreTokenizerRule& r) { return r.name == name; });
  return it == std::end(kRules) ? nullptr : it;
}

std::span<const PreTokenizerRule> pre_tokenizer_rules() {
  return kRules;
}

}  // namespace xh
