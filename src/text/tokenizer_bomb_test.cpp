// Texts made to be slow (T13): the time must grow with the length, not faster.
#include <time.h>

#include <algorithm>
#include <cstdio>
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

// In one line of printable characters.
std::string shown(std::string_view unit) {
  std::string out;
  for (const unsigned char c : unit) {
    char hex[8];
    std::snprintf(hex, sizeof hex, c > ' ' && c < 127 ? "%c" : "\\x%02X", c);
    out += hex;
  }
  return out;
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

// A text, and the best time that encoding it took.
struct Reading {
  std::string text;
  double best = 1e9;

  Reading(std::string_view unit, size_t bytes) : text(repeat(unit, bytes)) {}
  int rounds() const { return text.size() <= (256 << 10) ? 20 : text.size() <= (2 << 20) ? 3 : 1; }
  void measure(const Tokenizer& t, int rounds) { best = std::min(best, seconds(t, text, rounds)); }
};

// How many times as long twice the text takes, by the best time of each length. `text` keeps the
// reading it got when it was the longer one. The speed of a machine changes from moment to moment,
// so a doubling that looks too dear, or too cheap to be true, is judged anew: both lengths side by
// side, as often as each other and as often whatever comes out, for one verdict. To stop at the
// first good one, or to take the least of several ratios, would let luck hide a slow tokenizer.
double cost_of_doubling(const Tokenizer& t, Reading& text, Reading& twice) {
  constexpr int kAnew = 10;                // times as many rounds
  constexpr size_t kAnewBytes = 16 << 20;  // at least: short texts would all be read in one spell
  twice.measure(t, twice.rounds());
  if (twice.best > 1.7 * text.best && twice.best <= 2.3 * text.best) return twice.best / text.best;
  text.best = twice.best = 1e9;
  const auto rounds = static_cast<int>(kAnewBytes / twice.text.size());
  for (int i = 0; i < std::max(rounds, kAnew * twice.rounds()); ++i) {
    text.measure(t, 1);
    twice.measure(t, 1);
  }
  return twice.best / text.best;
}

class TokenizerBombs : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    tokenizer_ = fixture::tokenizer(GetParam());
    ASSERT_NE(tokenizer_, nullptr);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(TokenizerBombs, TimeGrowsWithTheLength) {
  for (const char* unit : kUnits) {
    const double small = seconds(*tokenizer_, repeat(unit, 4 << 10), 3);
    const double large = seconds(*tokenizer_, repeat(unit, 64 << 10), 1);
    // 16 times the text. Quadratic work would take 256 times as long; the slack is for a
    // machine that does other things meanwhile.
    EXPECT_LT(large, std::max(small * 16 * 4, 0.02)) << shown(unit);
  }
}

// The whole of T13: minutes of work, and other work on the same caches disturbs it, so it runs only
// when asked for.
TEST_P(TokenizerBombs, EachDoublingCostsAtMost2point3UpTo16MiB) {
  if (std::getenv("XIAOHU_LONG_TESTS") == nullptr)
    GTEST_SKIP() << "SKIPPED, NOT TESTED: set XIAOHU_LONG_TESTS=1 for 1 KiB to 16 MiB";
  for (const char* unit : kUnits) {
    double dearest = 0;
    size_t dearest_at = 0;
    Reading text(unit, 1 << 10);
    text.measure(*tokenizer_, text.rounds());
    for (size_t bytes = 2 << 10; bytes <= 16 << 20; bytes *= 2) {
      Reading twice(unit, bytes);
      const double cost = cost_of_doubling(*tokenizer_, text, twice);
      EXPECT_LE(cost, 2.3) << shown(unit) << " at " << bytes << " bytes: " << text.best * 1e3
                           << " ms, then " << twice.best * 1e3 << " ms";
      if (cost > dearest) dearest = cost, dearest_at = bytes;
      text = std::move(twice);
    }
    std::printf("%-24s %-26s dearest doubling %.2f, to %zu KiB; 16 MiB in %.0f ms\n", GetParam(),
                shown(unit).c_str(), dearest, dearest_at >> 10, text.best * 1e3);
  }
}

INSTANTIATE_TEST_SUITE_P(Each, TokenizerBombs,
                         testing::Values("gpt-2", "qwen2", "gpt-4o", "kimi-k2", "deepseek-v3",
                                         "deepseek-llm", "deepseek-coder", "default",
                                         "sentencepiece", "sentencepiece-phrases"),
                         [](const testing::TestParamInfo<const char*>& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace xh
