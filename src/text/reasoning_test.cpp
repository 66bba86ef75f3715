#include "text/reasoning.h"

#include <gtest/gtest.h>

namespace xh {
namespace {

struct Split {
  std::string reasoning, content;
  bool operator==(const Split&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Split& split) {
  return out << "[" << split.reasoning << "|" << split.content << "]";
}

// The same text in pieces of `size` bytes.
Split split(std::string_view text, size_t size, bool inside = false) {
  ReasoningSplitter splitter(inside);
  Split out;
  const auto add = [&](const ReasoningSplitter::Piece& piece) {
    out.reasoning += piece.reasoning;
    out.content += piece.content;
  };
  for (size_t at = 0; at < text.size(); at += size) add(splitter.push(text.substr(at, size)));
  add(splitter.finish());
  return out;
}

TEST(ReasoningSplitter, SplitsTheSameHoweverTheTextArrives) {
  struct Case {
    const char* text;
    bool inside;
    Split expected;
  };
  const Case cases[] = {
      {"Hello", false, {"", "Hello"}},
      {"  Hello", false, {"", "  Hello"}},
      {"<think>\nhm, 2 < 3\n</think>\n\nYes.\n", false, {"hm, 2 < 3", "Yes.\n"}},
      {"<think>\n\n</think>\n\nYes.", false, {"", "Yes."}},
      {"a thought\n</think>\nYes.", true, {"a thought", "Yes."}},
      {"<think>cut off in the mid", false, {"cut off in the mid", ""}},
      {"<think>cut off </thi", false, {"cut off </thi", ""}},
      {"<seed:think>s</seed:think>t", false, {"s", "t"}},
      {"<thin", false, {"", "<thin"}},
      {"<thinner> is no tag", false, {"", "<thinner> is no tag"}},
      {"I write <think>x</think> later", false, {"", "I write <think>x</think> later"}},
      {"<think>a</think>b</think>c", false, {"a", "b</think>c"}},
      {"<think>小\n\n虎</think>好", false, {"小\n\n虎", "好"}},
      {"", false, {"", ""}},
  };
  for (const Case& c : cases) {
    for (size_t size : {1, 2, 3, 5, 7, 1000}) {
      EXPECT_EQ(split(c.text, size, c.inside), c.expected) << c.text << " by " << size;
    }
  }
}

TEST(ReasoningSplitter, SaysAtOnceWhatIsCertain) {
  ReasoningSplitter splitter;
  EXPECT_EQ(splitter.push("Hello").content, "Hello");
  ReasoningSplitter thinking;
  EXPECT_EQ(thinking.push("<think>one").reasoning, "one");
  EXPECT_EQ(thinking.push(" two <").reasoning, " two");
  EXPECT_EQ(thinking.push(" three").reasoning, " < three");
}

TEST(ReasoningSplitter, SeesAnOpenedThoughtInThePrompt) {
  EXPECT_TRUE(ends_inside_reasoning("<|im_start|>assistant\n<think>\n"));
  EXPECT_TRUE(ends_inside_reasoning("<think>"));
  EXPECT_FALSE(ends_inside_reasoning("<think>\n\n</think>\n\n"));
  EXPECT_FALSE(ends_inside_reasoning(""));
}

}  // namespace
}  // namespace xh
