#include "cli/console.h"

#include <gtest/gtest.h>

namespace xh::cli {
namespace {

TEST(Console, HumanBytesKeepsOneDigitAndChangesUnitInTime) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(98362432), "98.4 MB");
  EXPECT_EQ(human_bytes(999'960'000), "1.0 GB");  // not "1000.0 MB"
  EXPECT_EQ(human_bytes(UINT64_MAX), "18.4 EB");
}

TEST(Console, HumanSeconds) {
  EXPECT_EQ(human_seconds(0.4), "0s");
  EXPECT_EQ(human_seconds(83.2), "1m23s");
  EXPECT_EQ(human_seconds(7260), "2h01m");
  EXPECT_EQ(human_seconds(-1), "0s");
}

TEST(Console, DisplayWidthCountsWideAndCombiningCharacters) {
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("小虎"), 4);
  EXPECT_EQ(display_width("e\xcc\x81"), 1);  // e + combining acute
  EXPECT_EQ(display_width("\xff"), 1);       // invalid byte shows as one replacement
}

TEST(Console, TablePadsByWidthAndNeverEndsALineInSpaces) {
  const auto table =
      format_table({{"NAME", "SIZE"}, {"小虎", "1.0 GB"}, {"long-name", "5 B"}}, {1});
  EXPECT_EQ(table, "NAME         SIZE\n小虎       1.0 GB\nlong-name     5 B\n");
  EXPECT_EQ(format_table({{"A", "B"}, {"x", ""}}), "A  B\nx\n");
}

TEST(Console, ProgressLineFitsTheTerminal) {
  for (int columns : {1, 10, 20, 40, 60, 80, 200}) {
    const auto line = progress_line("model.gguf", 25'000'000, 100'000'000, 5e6, columns);
    EXPECT_LT(display_width(line), std::max(columns, 1)) << columns;
  }
  const auto line = progress_line("m", 25'000'000, 100'000'000, 5e6, 90);
  EXPECT_NE(line.find("]  25%"), std::string::npos) << line;
  EXPECT_NE(line.find("25.0 MB of 100.0 MB  5.0 MB/s  15s left"), std::string::npos) << line;
  EXPECT_EQ(progress_line("m", 5, 0, 0, 80), "m  5 B");
}

}  // namespace
}  // namespace xh::cli
