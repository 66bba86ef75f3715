// Renders every tests/templates/NAME.jinja with every conversation and compares with the recorded
// output of Python's Jinja2, byte for byte. XH_TEMPLATE_DIR points the test at another such folder.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "text/chat_template.h"

namespace xh {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kNow = 1768480496;  // 2026-01-15 12:34:56 UTC, as the fixtures' script

fs::path folder() {
  const char* other = std::getenv("XH_TEMPLATE_DIR");
  return other ? fs::path(other) : fs::path(XH_SOURCE_DIR) / "tests" / "templates";
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

struct Expected {
  bool ok = false;
  std::string text;
};

// Records "@@ NAME ok BYTES\n" TEXT "\n" and "@@ NAME error\n".
std::map<std::string, Expected> read_golden(const fs::path& path) {
  std::map<std::string, Expected> out;
  std::string all = read(path);
  for (size_t pos = 0; pos < all.size();) {
    size_t end = all.find('\n', pos);
    std::istringstream head(all.substr(pos, end - pos));
    std::string mark, name, state;
    size_t bytes = 0;
    head >> mark >> name >> state >> bytes;
    EXPECT_EQ(mark, "@@") << path;
    if (mark != "@@") break;
    out[name] = {state == "ok", all.substr(end + 1, bytes)};
    pos = end + 1 + (state == "ok" ? bytes + 1 : 0);
  }
  return out;
}

std::vector<std::string> names_of(const char* extension, const fs::path& in) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(in))
    if (entry.path().extension() == extension) names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(ChatTemplateGolden, EveryTemplateRendersAsJinja2Does) {
  std::map<std::string, boost::json::object> conversations;
  for (const auto& name : names_of(".json", folder() / "conversations"))
    conversations[name] =
        boost::json::parse(read(folder() / "conversations" / (name + ".json"))).as_object();
  auto templates = names_of(".jinja", folder());
  EXPECT_GE(templates.size(), 25u);
  size_t compared = 0;
  for (const auto& name : templates) {
    auto golden = read_golden(folder() / "expected" / (name + ".txt"));
    EXPECT_EQ(golden.size(), conversations.size()) << name;
    auto parsed = ChatTemplate::parse(read(folder() / (name + ".jinja")), name);
    ASSERT_TRUE(parsed) << parsed.error().to_string();
    for (const auto& [conversation, variables] : conversations) {
      auto text = parsed->render(variables, kNow);
      const Expected& want = golden[conversation];
      EXPECT_EQ(text.has_value(), want.ok)
          << name << " × " << conversation << ": " << (text ? *text : text.error().to_string());
      if (text && want.ok) {
        EXPECT_EQ(*text, want.text) << name << " × " << conversation;
      }
      ++compared;
    }
  }
  RecordProperty("renderings", static_cast<int>(compared));
}

// snippets.txt: "=== TITLE", template, "--- expect", the text as JSON or "!error".
TEST(ChatTemplateGolden, SnippetsRenderAsInJinja2) {
  boost::json::object variables =
      boost::json::parse(read(folder() / "snippet_variables.json")).as_object();
  std::string all = read(folder() / "snippets.txt");
  size_t count = 0;
  for (size_t pos = all.find("=== "); pos != all.npos;) {
    size_t next = all.find("\n=== ", pos);
    std::string block = all.substr(pos + 4, next == all.npos ? all.npos : next - pos - 4);
    pos = next == all.npos ? next : next + 1;
    size_t line = block.find('\n'), mark = block.find("\n--- expect\n");
    ASSERT_NE(mark, block.npos) << block;
    std::string title = block.substr(0, line);
    std::string source = line < mark ? block.substr(line + 1, mark - line - 1) : "";
    std::string want = block.substr(mark + 12);
    while (want.ends_with('\n')) want.pop_back();
    auto parsed = ChatTemplate::parse(source, title);
    Result<std::string> text = parsed ? parsed->render(variables, kNow)
                                      : Result<std::string>(std::unexpected(parsed.error()));
    if (want == "!error") {
      EXPECT_FALSE(text) << title << "\n" << source << "\ngave " << *text;
    } else {
      EXPECT_TRUE(text) << title << "\n" << source << "\n" << text.error().to_string();
      if (text) {
        EXPECT_EQ(*text, std::string(boost::json::parse(want).as_string())) << title << "\n"
                                                                            << source;
      }
    }
    ++count;
  }
  EXPECT_GE(count, 200u);
}

// A million tokens of talk about documents stay within the default limits.
TEST(ChatTemplateGolden, EveryTemplateRendersALongConversation) {
  constexpr int kTurns = 400;
  std::string text;
  while (text.size() < 10000) text += "第三条 甲方应当在三十日内付款。 Payment is due. ";
  boost::json::array messages;
  for (int i = 0; i < kTurns; ++i) {
    const char* role = i % 2 == 0 ? "user" : "assistant";
    messages.push_back({{"role", role}, {"content", text}});
  }
  boost::json::object variables{{"messages", messages},
                                {"add_generation_prompt", true},
                                {"bos_token", "<s>"},
                                {"eos_token", "</s>"}};
  int rendered = 0;
  for (const auto& name : names_of(".jinja", folder())) {
    std::string source = read(folder() / (name + ".jinja"));
    auto parsed = ChatTemplate::parse(source, name);
    ASSERT_TRUE(parsed) << parsed.error().to_string();
    auto out = parsed->render(variables, kNow);
    if (!out) {  // some refuse a talk without a system message, or without tools
      EXPECT_NE(out.error().code, ErrorCode::kTooLarge) << out.error().to_string();
      continue;
    }
    EXPECT_GE(out->size(), text.size()) << name;
    ++rendered;
  }
  EXPECT_GE(rendered, 25);
}

}  // namespace
}  // namespace xh
