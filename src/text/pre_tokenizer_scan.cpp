// The scanners behind Stage. Each function follows its regular expression's alternatives in
// order; "longest prefix first, then give back" is worked out in closed form, so that no
// scanner ever backtracks over more than the run it is looking at.
#include <algorithm>
#include <iterator>

#include "text/pre_tokenizer.h"
#include "text/unicode_class.h"

namespace xh {
namespace {

struct Range {
  uint32_t first, last;
};

// \p{Lu}\p{Ll}\p{Lt} of the Unicode version that deepseek-llm's makers had.
constexpr Range kCasedRanges[] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},
    {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},
    {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x376},     {0x377, 0x377},
    {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
    {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},
    {0x48A, 0x52F},     {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},
    {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},
    {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},
    {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x3CE},    {0x1F80, 0x1FB4},
    {0x1FB6, 0x1FBC},   {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},
    {0x1FD0, 0x390},    {0x1FD6, 0x38A},    {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},
    {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},
    {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},
    {0x213C, 0x213F},   {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2183},
    {0x2184, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},
    {0x2CF2, 0x2CF2},   {0x2CF3, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},
    {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},
    {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},
    {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2},
    {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

bool in_ranges(uint32_t code, std::span<const Range> ranges) {
  const auto it = std::upper_bound(ranges.begin(), ranges.end(), code,
                                   [](uint32_t c, const Range& r) { return c < r.first; });
  return it != ranges.begin() && code <= std::prev(it)->last;
}

bool between(uint32_t code, uint32_t first, uint32_t last) {
  return code - first <= last - first;
}

bool is_wide_punctuation(uint32_t c) {
  return between(c, '!', '/') || between(c, ':', '~') || between(c, 0xFF01, 0xFF0F) ||
         between(c, 0xFF1A, 0xFF5E) || between(c, 0x2018, 0x201F) || between(c, 0x3000, 0x3002);
}

bool is_math_sign(uint32_t c) {
  return c < 128 &&
         std::string_view("$+<=>^~|").find(static_cast<char>(c)) != std::string_view::npos;
}

bool in_set(CharSet set, const Char& c) {
  switch (set) {
    case CharSet::kNewlines: return c.is(kNewline);
    case CharSet::kLetters: return c.is(kLetter);
    case CharSet::kNumbers: return c.is(kNumber);
    case CharSet::kAsciiDigits: return between(c.code, '0', '9');
    case CharSet::kPunctuation: return c.is(kPunctuation);
    case CharSet::kPunctuationAndMath: return c.is(kPunctuation) || is_math_sign(c.code);
    case CharSet::kCasedLetters: return in_ranges(c.code, kCasedRanges);
    case CharSet::kWidePunctuation: return is_wide_punctuation(c.code);
    case CharSet::kHanKana:
      return between(c.code, 0x4E00, 0x9FA5) || between(c.code, 0x3040, 0x30FF);
    case CharSet::kEastern:
      return between(c.code, 0x800, 0x9FA5) || between(c.code, 0xAC00, 0xD7FF);
  }
  return false;
}

// One text with the moves that the expressions are made of. Positions are bytes; a function that
// looks for a match returns where it ends, and 0 when there is none.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool more(size_t pos) const { return pos < text_.size(); }
  Char at(size_t pos) const { return char_at(text_, pos); }

  // The end of the longest run of at most `max` (0: any number) characters for which `f` holds.
  template <class F>
  size_t run(size_t pos, uint32_t max, F f) const {
    for (uint32_t n = 0; more(pos) && (max == 0 || n < max); ++n) {
      const Char c = at(pos);
      if (!f(c)) break;
      pos += c.size;
    }
    return pos;
  }
  size_t run_of(size_t pos, uint16_t bits, uint32_t max = 0) const {
    return run(pos, max, [bits](const Char& c) { return c.is(bits); });
  }

  // 's 't 'm 'd 're 've 'll; any case, as Unicode folds it, when `fold`.
  size_t contraction(size_t pos, bool fold) const {
    if (!more(pos) || text_[pos] != '\'' || pos + 1 >= text_.size()) return 0;
    if (fold && text_.substr(pos + 1, 2) == "\xC5\xBF") return pos + 3;  // long s
    const auto letter = [&](size_t i) -> char {
      if (i >= text_.size()) return 0;
      const char c = text_[i];
      return fold && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char a = letter(pos + 1), b = letter(pos + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return pos + 2;
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l')) return pos + 3;
    return 0;
  }

  // \s+(?!\S)|\s+ , and before it \s*[\r\n]+ when `newlines`.
  size_t white_space(size_t pos, bool newlines) const {
    size_t end = pos, last = pos, after_newline = 0;
    while (more(end)) {
      const Char c = at(end);
      if (!c.is(kSpace)) break;
      last = end;
      end += c.size;
      if (c.is(kNewline)) after_newline = end;
    }
    if (end == pos) return 0;
    if (newlines && after_newline != 0) return after_newline;
    return more(end) && last > pos ? last : end;  // leaves one space to the word that follows
  }

  // " ?X+" for X given by `f`.
  template <class F>
  size_t spaced_run(size_t pos, F f) const {
    const size_t start = pos + (text_[pos] == ' ' ? 1 : 0);
    const size_t end = run(start, 0, f);
    return end > start ? end : 0;
  }

 private:
  std::string_view text_;
};

size_t match_run(const Stage& stage, const Scanner& s, size_t pos) {
  const auto run_from = [&](size_t start) -> size_t {
    uint32_t n = 0;
    const size_t end = s.run(start, stage.max, [&](const Char& c) {
      const bool in = in_set(stage.set, c);
      n += in ? 1 : 0;
      return in;
    });
    return n >= stage.min ? end : 0;
  };
  if (stage.space_prefix) {
    const Char c = s.at(pos);
    if (const size_t end = c.is(kSpace) ? run_from(pos + c.size) : 0) return end;
  }
  return run_from(pos);
}

size_t match_gpt2(const Scanner& s, size_t pos) {
  if (const size_t end = s.contraction(pos, false)) return end;
  for (const uint16_t bits : {uint16_t{kLetter}, uint16_t{kNumber}}) {
    if (const size_t end = s.spaced_run(pos, [bits](const Char& c) { return c.is(bits); }))
      return end;
  }
  const auto other = [](const Char& c) { return !c.is(kSpace | kLetter | kNumber); };
  if (const size_t end = s.spaced_run(pos, other)) return end;
  return s.white_space(pos, false);
}

// \p{N}{1,max}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+ : what follows the words.
size_t match_after_words(const Stage& stage, const Scanner& s, size_t pos) {
  const size_t digits = s.run_of(pos, kNumber, stage.max);
  if (digits > pos) return digits;
  const uint16_t not_symbol = kSpace | kLetter | kNumber | (stage.marks ? kMark : 0);
  const auto symbol = [not_symbol](const Char& c) { return !c.is(not_symbol); };
  if (const size_t end = s.spaced_run(pos, symbol)) {
    if (!stage.newlines) return end;
    return s.run(end, 0, [&stage](const Char& c) {
      return c.is(kNewline) || (stage.slash && c.code == '/');
    });
  }
  return s.white_space(pos, true);
}

// [^\r\n\p{L}\p{N}]?\p{L}+ , or [\p{L}\p{M}]+ with marks.
size_t match_words(const Stage& stage, const Scanner& s, size_t pos) {
  if (const size_t end = stage.contractions ? s.contraction(pos, true) : 0) return end;
  const uint16_t letters = kLetter | (stage.marks ? kMark : 0);
  const Char c = s.at(pos);
  if (!c.is(kNewline | kLetter | kNumber)) {
    const size_t end = s.run_of(pos + c.size, letters);
    if (end > pos + c.size) return end;
  }
  const size_t end = s.run_of(pos, letters);
  return end > pos ? end : match_after_words(stage, s, pos);
}

// U*L+ and U+L* where U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and L = [\p{Ll}\p{Lm}\p{Lo}\p{M}],
// both without Han when `no_han`. The classes overlap in "uncased".
struct CasedWord {
  size_t lower_needed = 0;  // end of U*L+, 0: no match
  size_t upper_needed = 0;  // end of U+L*
};

CasedWord cased_word(const Scanner& s, size_t pos, bool no_han) {
  const auto in = [no_han](const Char& c, uint16_t bits) {
    return c.is(bits) && !(no_han && c.is(kHan));
  };
  size_t end = pos, last_uncased = 0;
  while (s.more(end)) {
    const Char c = s.at(end);
    if (!in(c, kUpper | kUncased | kMark)) break;
    end += c.size;
    if (!c.is(kUpper)) last_uncased = end;
  }
  const size_t lower_end =
      s.run(end, 0, [&](const Char& c) { return in(c, kLower | kUncased | kMark); });
  CasedWord word;
  // Without a lower-case letter after it, U* gives back up to its last uncased character.
  word.lower_needed = lower_end > end ? lower_end : last_uncased;
  word.upper_needed = end > pos ? lower_end : 0;
  return word;
}

size_t match_cased_words(const Stage& stage, const Scanner& s, size_t pos) {
  if (stage.han) {
    const size_t end = s.run_of(pos, kHan);
    if (end > pos) return end;
  }
  const Char c = s.at(pos);
  CasedWord prefixed;
  if (!c.is(kNewline | kLetter | kNumber)) prefixed = cased_word(s, pos + c.size, stage.han);
  size_t end = prefixed.lower_needed;
  if (end == 0) {
    const CasedWord plain = cased_word(s, pos, stage.han);
    end = plain.lower_needed;
    if (end == 0) end = prefixed.upper_needed;
    if (end == 0) end = plain.upper_needed;
  }
  if (end == 0) return match_after_words(stage, s, pos);
  const size_t suffix = stage.contractions ? s.contraction(end, true) : 0;
  return suffix != 0 ? suffix : end;
}

size_t match_deepseek(const Scanner& s, size_t pos) {
  const Char c = s.at(pos);
  if (c.code < 128 && c.is(kPunctuation | kSymbol)) {
    const size_t end = s.run(pos + 1, 0, [](const Char& l) {
      return between(l.code, 'A', 'Z') || between(l.code, 'a', 'z');
    });
    if (end > pos + 1) return end;
  }
  if (!c.is(kNewline | kLetter | kPunctuation | kSymbol)) {
    const size_t end = s.run_of(pos + c.size, kLetter | kMark);
    if (end > pos + c.size) return end;
  }
  const size_t word = s.run_of(pos, kLetter | kMark);
  if (word > pos) return word;
  const auto sign = [](const Char& p) { return p.is(kPunctuation | kSymbol); };
  if (const size_t end = s.spaced_run(pos, sign)) return s.run_of(end, kNewline);
  return s.white_space(pos, true);
}

}  // namespace

size_t match_stage(const Stage& stage, std::string_view text, size_t pos, size_t& skip) {
  const Scanner s(text);
  switch (stage.kind) {
    case Stage::Kind::kRun: return match_run(stage, s, pos);
    case Stage::Kind::kTrailingSpace: {
      const size_t end = s.run_of(pos, kSpace);
      if (end > pos && end == text.size()) return end;
      skip = std::max(end, pos + 1);
      return 0;
    }
    case Stage::Kind::kGpt2: return match_gpt2(s, pos);
    case Stage::Kind::kWords: return match_words(stage, s, pos);
    case Stage::Kind::kCasedWords: return match_cased_words(stage, s, pos);
    case Stage::Kind::kDeepSeek: return match_deepseek(s, pos);
  }
  return 0;
}

}  // namespace xh
