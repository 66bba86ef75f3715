// Texts made to be slow (T13): the time must grow with the length, not faster.
#include <time.h>

#include <algorithm>
#include <cstdlib>

#include "text/pre_tokenizer.h"
#include "text/tokenizer_fixture_test.h"

namespace xh {
namespace {

const char* const kUnits[] = {
    "a",
    "A",
    " ",
    "7",
    "\n",
    "\r\n",
    "!",
    "'",
    "\xFF",
    "\xE5\x93\x88",
    "\xF0\x9F\x98\x80",
    "\xCC\x81",
    "\xCC\x81\xCC\x96",
    "\xC2\xA0",
    " \n",
    " a",
    "Aa",
    "e\xCC\x81",
    "<|im_",
    "a\xE5\x93\x88",
    "'s",
    "\xE2\x96\x81",
};

std::string repeat(std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

// Of this thread alone, so that other work on the machine does not count.
double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double seconds(const Tokenizer& t, const std::string& text, int rounds) {
  double best = 1e9;
  for (int i = 0; i < rounds; ++i) {
    const double start = thread_seconds();
    const size_t n = t.encode(text).size();
    const double took = thread_seconds() - start;
    EXPECT_LE(n, text.size() * 3 + 3);
    best = std::min(best, took);
  }
  return best;
}

std::vector<std::unique_ptr<Tokenizer>> one_of_each() {
  std::vector<std::unique_ptr<Tokenizer>> all;
  for (const char* name : {"gpt-2", "qwen2", "gpt-4o", "kimi-k2", "deepseek-v3", "deepseek-llm",
                           "deepseek-coder", "default", "sentencepiece", "sentencepiece-phrases"})
    all.push_back(fixture::tokenizer(name));
  return all;
}

TEST(TokenizerBombs, TimeGrowsWithTheLength) {
  for (const auto& t : one_of_each()) {
    for (const char* unit : kUnits) {
      const double small = seconds(*t, repeat(unit, 4 << 10), 3);
      const double large = seconds(*t, repeat(unit, 64 << 10), 1);
      // 16 times the text. Quadratic work would take 256 times as long; the slack is for a
      // machine that does other things meanwhile.
      EXPECT_LT(large, std::max(small * 16 * 4, 0.02))
          << t->spec().model << " " << t->spec().pre << " '" << unit << "'";
    }
  }
}

// How many times as long twice the text takes, by the best time of each length. A disturbed
// measurement gets further chances, and both lengths get the same ones: the least of several ratios
// would let a slow reading of the shorter text hide a slow tokenizer.
double cost_of_doubling(const Tokenizer& t, std::string_view unit, size_t bytes) {
  const std::string text = repeat(unit, bytes), twice = repeat(unit, 2 * bytes);
  const int rounds = 2 * bytes <= (256 << 10) ? 20 : 3;
  double short_one = 1e9, long_one = 1e9;
  for (int i = 0; i < 4 && (i == 0 || long_one > 2.3 * short_one); ++i) {
    short_one = std::min(short_one, seconds(t, text, rounds));
    long_one = std::min(long_one, seconds(t, twice, rounds));
  }
  return long_one / short_one;
}

// The whole of T13; needs an idle machine and minutes, so it runs only when asked for.
TEST(TokenizerBombs, EachDoublingCostsAtMost2point3UpTo16MiB) {
  if (std::getenv("XIAOHU_LONG_TESTS") == nullptr)
    GTEST_SKIP() << "SKIPPED, NOT TESTED: set XIAOHU_LONG_TESTS=1 for 1 KiB to 16 MiB";
  for (const auto& t : one_of_each())
    for (const char* unit : kUnits)
      for (size_t bytes = 1 << 10; bytes < 16 << 20; bytes *= 2)
        EXPECT_LE(cost_of_doubling(*t, unit, bytes), 2.3)
            << t->spec().model << " " << t->spec().pre << " '" << unit << "' at " << bytes
            << " bytes";
}

}  // namespace
}  // namespace xh
