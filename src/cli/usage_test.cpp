#include "cli/usage.h"

#include <gtest/gtest.h>

namespace xh::cli {
namespace {

TEST(Usage, MessagesAreOneLineInPlainWords) {
  EXPECT_EQ(tidy_message("A file is missing.\n"), "A file is missing");
  EXPECT_EQ(tidy_message("Could not convert: --ids = 1,x"), "--ids: cannot read \"1,x\"");
  EXPECT_EQ(tidy_message("--top-p: Value 2 not in range 0.000000 to 1.500000"),
            "--top-p: Value 2 not in range 0 to 1.5");
  EXPECT_EQ(tidy_message("The following argument was not expected: 10.20"),
            "The following argument was not expected: 10.20");
}

TEST(Usage, AMistypedCommandFindsTheNearest) {
  const std::vector<std::string> known = {"serve", "chat", "generate", "list", "tokenize"};
  EXPECT_EQ(nearest("genrate", known), "generate");
  EXPECT_EQ(nearest("sevre", known), "");  // two letters changed out of five is a guess
  EXPECT_EQ(nearest("server", known), "serve");
  EXPECT_EQ(nearest("gen", known), "generate");
  EXPECT_EQ(nearest("lst", known), "list");
  EXPECT_EQ(nearest("frobnicate", known), "");
  EXPECT_EQ(nearest("", known), "");
}

// What `--help` shows for an option whose type and checks CLI11 spells out.
std::string shown(CLI::Option* option) {
  return HelpFormatter().make_option_opts(option);
}

TEST(Usage, OptionsShowTheirValuesAndDefaults) {
  CLI::App app;
  int threads = 4;
  double p = 0.95;
  std::string kv = "q8", host = "127.0.0.1", file;
  std::vector<int> users = {1, 4};
  bool flag = false;
  EXPECT_EQ(shown(app.add_option("--threads", threads)->check(CLI::Range(0, 1024))), " N");
  EXPECT_EQ(shown(app.add_option("--p", p)->check(CLI::Range(0.0, 1.0))->capture_default_str()),
            " N [0.95]");
  EXPECT_EQ(shown(app.add_option("--kv", kv)->check(CLI::IsMember({"f16", "q8"}))), " f16|q8");
  EXPECT_EQ(shown(app.add_option("--host", host)->capture_default_str()), " TEXT [127.0.0.1]");
  EXPECT_EQ(shown(app.add_option("--users", users)->capture_default_str()), " N ... [1,4]");
  EXPECT_EQ(shown(app.add_option("--out", file)->type_name("FILE")->required()),
            " FILE (required)");
  EXPECT_EQ(shown(app.add_flag("--json", flag)), "");
}

TEST(Usage, GroupsAreApartByOneEmptyLine) {
  CLI::App app;
  int n = 0;
  app.formatter(std::make_shared<HelpFormatter>());
  app.add_option("--one", n)->group("First");
  app.add_option("--two", n)->group("Second");
  EXPECT_EQ(app.help().find("\n\n\n"), std::string::npos) << app.help();
}

}  // namespace
}  // namespace xh::cli
