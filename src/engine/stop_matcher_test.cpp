#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace xh {
namespace {

// Where the text must be cut: before the stop string that is complete first; of several that end
// together, the longest.
size_t plain_cut(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const auto& s : stops)
      if (!s.empty() && s.size() <= end && text.compare(end - s.size(), s.size(), s) == 0)
        longest = std::max(longest, s.size());
    if (longest > 0) return end - longest;
  }
  return std::string::npos;
}

TEST(StopMatcher, EqualsAPlainSearchHoweverTheTextIsCut) {
  std::mt19937 rng(1);
  int matched = 0;
  for (int round = 0; round < 20000; ++round) {
    auto random_text = [&](size_t n) {
      std::string s;
      while (s.size() < n) s += static_cast<char>('a' + rng() % 2);
      return s;
    };
    const std::string text = random_text(rng() % 30);
    std::vector<std::string> stops;
    for (auto n = rng() % 4; n > 0; --n) stops.push_back(random_text(rng() % 8));
    StopMatcher matcher(stops);
    std::string out;
    bool stopped = false;
    for (size_t at = 0; at < text.size() && !stopped;) {
      const size_t n = 1 + rng() % 4;
      stopped = matcher.push(std::string_view(text).substr(at, n), out);
      ASSERT_EQ(matcher.released(), out.size());
      at += n;
    }
    if (!stopped) out += matcher.finish();
    const size_t cut = plain_cut(text, stops);
    ASSERT_EQ(stopped, cut != std::string::npos);
    ASSERT_EQ(out, text.substr(0, cut));
    matched += stopped;
  }
  EXPECT_GT(matched, 5000);
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStop) {
  StopMatcher matcher({"END"});
  std::string out;
  EXPECT_FALSE(matcher.push("the E", out));
  EXPECT_EQ(out, "the ");
  EXPECT_FALSE(matcher.push("N", out));
  EXPECT_EQ(out, "the ");
  EXPECT_FALSE(matcher.push("Ergy", out));
  EXPECT_EQ(out, "the ENErgy");
  EXPECT_TRUE(matcher.push("ENDless", out));
  EXPECT_EQ(out, "the ENErgy");
  EXPECT_EQ(matcher.matched(), "END");
}

}  // namespace
}  // namespace xh
