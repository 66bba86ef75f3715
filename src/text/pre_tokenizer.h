// Cuts a text into the words that byte-level BPE works on.
//
// Model makers write this step as a list of regular expressions, applied one after another: each
// cuts every piece of the one before into its matches and the gaps between them. The expressions
// are few and alike, so each kind is a hand-written scanner here that looks at a character a
// bounded number of times; a Stage is one expression, as data. Linear in the text, no recursion
// beyond the number of stages.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

namespace xh {

// Sets of characters that run stages name.
enum class CharSet : uint8_t {
  kNewlines,            // [\r\n]
  kLetters,             // \p{L}
  kNumbers,             // \p{N}
  kAsciiDigits,         // [0-9]
  kPunctuation,         // \p{P}
  kPunctuationAndMath,  // [\p{P}$+<=>^~|]
  kCasedLetters,        // letters of scripts with case, as deepseek-llm lists them
  kWidePunctuation,     // [!-/:-~！-／：-～‘-‟　-。]
  kHanKana,             // [一-龥぀-ゟ゠-ヿ]
  kEastern,             // [一-龥ࠀ-一가-퟿]
};

struct Stage {
  enum class Kind : uint8_t {
    kRun,            // \s?[set]{min,max}      (the \s? when space_prefix)
    kTrailingSpace,  // \s+$
    kGpt2,           // 's|… | ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    kWords,          // (?i:'s|…)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max}| ?[^\s\p{L}\p{N}]+…|…
    kCasedWords,     // as kWords, but words also end where lower case turns to upper
    kDeepSeek,       // [!-~ without letters][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|…
  };
  Kind kind;
  CharSet set = CharSet::kNumbers;  // kRun
  uint32_t min = 1;                 // kRun
  uint32_t max = 0;                 // kRun, and digits of kWords and kCasedWords; 0: no limit
  bool space_prefix = false;        // kRun
  bool marks = false;               // kWords: \p{M} belongs to words
  bool newlines = true;             // [\r\n]* follows a run of symbols
  bool slash = false;               // … and so does a slash
  bool han = false;                 // kCasedWords: \p{Han}+ first, and words hold no Han
  bool contractions = true;         // kWords, kCasedWords: (?i:'s|'t|'re|'ve|'m|'ll|'d)
};

// What a pre-tokenizer name of a model file means.
struct PreTokenizerRule {
  std::string_view name;
  std::span<const Stage> stages;
  bool ignore_merges = false;  // a word that is a token stays whole, whatever the merges say
  bool nfc = false;            // the text is normalised to NFC first
};

// Null when the name is unknown. "" means "default".
const PreTokenizerRule* find_pre_tokenizer(std::string_view name);
// All names, for messages.
std::span<const PreTokenizerRule> pre_tokenizer_rules();

using WordSink = std::function<void(std::string_view)>;

// Calls `sink` with the words of `text`, in order; together they are the whole text.
void pre_tokenize(std::span<const Stage> stages, std::string_view text, const WordSink& sink);

// Where the match of one stage that starts at `pos` ends; 0: none there. `skip` is set, on a
// failure, to how far the text is known to hold no match (always past `pos`).
// Implemented by pre_tokenizer_scan.cpp.
size_t match_stage(const Stage& stage, std::string_view text, size_t pos, size_t& skip);

}  // namespace xh
