#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <thread>

namespace xh {
namespace {

Result<std::string> render(std::string_view source, const boost::json::object& variables = {}) {
  XH_TRY(auto parsed, ChatTemplate::parse(source, "t.jinja"));
  return parsed.render(variables);
}

TEST(ChatTemplate, SyntaxErrorsNameLineAndColumn) {
  auto parsed = ChatTemplate::parse("line one\n  {{ 1 + }}", "model.gguf");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(parsed.error().where, "model.gguf:2:10");
}

TEST(ChatTemplate, RuntimeErrorsNameLineAndColumn) {
  auto text = render("a\n{% if true %}\n  {{ message.role }}\n{% endif %}");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(text.error().where, "t.jinja:3:14");
  EXPECT_EQ(text.error().message, "'message' is undefined");
}

TEST(ChatTemplate, RaisedMessagesReachTheCaller) {
  auto text = render("{{ raise_exception('roles must alternate') }}");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(text.error().message, "roles must alternate");
}

TEST(ChatTemplate, UnknownTagsFiltersAndTestsAreNamed) {
  EXPECT_EQ(render("{% include 'x' %}").error().code, ErrorCode::kUnsupported);
  EXPECT_NE(render("{{ 1|nosuch }}").error().message.find("nosuch"), std::string::npos);
  EXPECT_NE(render("{{ 1 is nosuch }}").error().message.find("nosuch"), std::string::npos);
}

TEST(ChatTemplate, TheClockIsTheCallers) {
  auto parsed = ChatTemplate::parse("{{ strftime_now('%Y-%m-%d') }}");
  EXPECT_EQ(*parsed->render({}, 0), "1970-01-01");
  EXPECT_EQ(*parsed->render({}, 1768480496), "2026-01-15");
  EXPECT_FALSE(parsed->render({}, INT64_MAX));
}

TEST(ChatTemplate, VariablesShadowFunctionsAndNothingIsShared) {
  EXPECT_EQ(*render("{{ range }}", {{"range", "mine"}}), "mine");
  auto parsed = ChatTemplate::parse("{% set x = x ~ 'a' %}{{ x }}");
  EXPECT_EQ(*parsed->render({{"x", "1"}}), "1a");
  EXPECT_EQ(*parsed->render({{"x", "2"}}), "2a");
}

TEST(ChatTemplate, DeepVariablesAreRefused) {
  boost::json::value deep = 1;
  for (int i = 0; i < 1000; ++i) deep = boost::json::array{std::move(deep)};
  auto text = render("{{ x }}", {{"x", std::move(deep)}});
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kTooLarge);
}

TEST(ChatTemplate, BytesThatAreNotUtf8PassThrough) {
  EXPECT_EQ(*render("{{ x }}{{ x|length }}", {{"x", "a\xff\xc3z"}}), "a\xff\xc3z4");
}

TEST(ChatTemplate, OneTemplateServesManyThreads) {
  auto parsed = ChatTemplate::parse(
      "{% macro m(x) %}<{{ x|upper }}>{% endmacro %}{% for c in 'añ小' %}{{ m(c ~ id) }}{{ 'lit' | "
      "length }}{% endfor %}");
  ASSERT_TRUE(parsed);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::string id = std::to_string(t);
      for (int i = 0; i < 200; ++i)
        EXPECT_EQ(*parsed->render({{"id", id}}), "<A" + id + ">3<Ñ" + id + ">3<小" + id + ">3");
    });
}

}  // namespace
}  // namespace xh
