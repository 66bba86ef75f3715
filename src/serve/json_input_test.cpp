#include "serve/json_input.h"

#include <gtest/gtest.h>

#include "serve/fields.h"

namespace xh::serve {
namespace {

namespace json = boost::json;

TEST(JsonInput, ReadsWhatIsWellFormed) {
  const auto value = parse_json(R"( {"a": [1, -2.5, "x\n\u00e9", true, null], "b": {"c": {}}} )");
  ASSERT_TRUE(value) << value.error().message;
  EXPECT_EQ(json::serialize(*value), "{\"a\":[1,-2.5E0,\"x\\né\",true,null],\"b\":{\"c\":{}}}");
}

TEST(JsonInput, RefusesWhatIsNot) {
  for (const char* text :
       {"", "{", "{}{}", "nul", "{\"a\":1,}", "[1 2]", "\"\\ud800\"", "\"\xff\"", "{\"a\":NaN}",
        "Infinity", "-", "01", "'a'", "/* c */ 1", "\"\t\"", "[1e999]"}) {
    const auto value = parse_json(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().status, 400) << text;
    EXPECT_EQ(value.error().code, "invalid_json") << text;
  }
}

TEST(JsonInput, NamesAKeyThatAppearsTwice) {
  const auto value = parse_json(R"({"n": 1, "o": {"x": 1, "x": 2}})");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().param, "x");
  EXPECT_NE(value.error().message.find("appears twice"), std::string::npos);
}

TEST(JsonInput, BoundsDepthAndCount) {
  EXPECT_TRUE(parse_json(std::string(60, '[') + std::string(60, ']')));
  EXPECT_FALSE(parse_json(std::string(65, '[') + std::string(65, ']')));
  EXPECT_FALSE(parse_json(std::string(5'000'000, '[')));
  EXPECT_FALSE(parse_json("[1,2,3,4,5,6,7,8,9,10]", {.values = 10}));
  EXPECT_TRUE(parse_json("[1,2,3,4,5,6,7,8,9]", {.values = 10}));
  EXPECT_FALSE(parse_json("{\"" + std::string(5000, 'k') + "\":1}"));
}

json::object object(const char* text) {
  return json::parse(text).as_object();
}

TEST(Fields, ReadsWithinRanges) {
  const json::object body =
      object(R"({"t": 0.5, "i": 7, "d": 8.0, "b": true, "s": "x", "z": null, "a": [1]})");
  Fields fields(body);
  EXPECT_EQ(fields.number("t", 0, 2, 1), 0.5);
  EXPECT_EQ(fields.integer("i", 0, 10, 1), 7);
  EXPECT_EQ(fields.integer("d", 0, 10, 1), 8);
  EXPECT_EQ(fields.boolean("b", false), true);
  EXPECT_EQ(fields.text("s", 10), "x");
  EXPECT_EQ(fields.integer("z", 0, 10, 3), 3);
  EXPECT_EQ(fields.array("a", 1)->size(), 1u);
  EXPECT_EQ(fields.number("absent", 0, 1, 0.25), 0.25);
  EXPECT_TRUE(fields.finish());
}

TEST(Fields, NamesTheFieldAtFault) {
  struct Case {
    const char* body;
    const char* code;
  };
  for (const Case& c : {Case{R"({"n": "1"})", "invalid_type"},
                        {R"({"n": -1})", "invalid_value"},
                        {R"({"n": 9})", "invalid_value"},
                        {R"({"n": 1.5})", "invalid_value"},
                        {R"({"n": 1e300})", "invalid_value"},
                        {R"({"n": 18446744073709551615})", "invalid_value"},
                        {R"({"n": true})", "invalid_type"},
                        {R"({"n": [1]})", "invalid_type"}}) {
    const json::object body = object(c.body);
    Fields fields(body, "messages[1]");
    EXPECT_EQ(fields.integer("n", 1, 8, 5), 5);
    const auto done = fields.finish();
    ASSERT_FALSE(done) << c.body;
    EXPECT_EQ(done.error().param, "messages[1].n");
    EXPECT_EQ(done.error().code, c.code) << c.body;
    EXPECT_EQ(done.error().status, 400);
  }
}

TEST(Fields, RefusesUnknownNamesAndSuggestsTheRightOne) {
  const json::object body = object(R"({"max_token": 5})");
  Fields fields(body);
  fields.integer("max_tokens", 0, 10, 0);
  const auto done = fields.finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().param, "max_token");
  EXPECT_EQ(done.error().code, "unknown_parameter");
  EXPECT_NE(done.error().message.find("'max_tokens'?"), std::string::npos);
}

TEST(Fields, KeepsTheFirstProblem) {
  const json::object body = object(R"({"a": "x", "b": "y"})");
  Fields fields(body);
  fields.integer("a", 0, 1, 0);
  fields.integer("b", 0, 1, 0);
  EXPECT_EQ(fields.finish().error().param, "a");
}

}  // namespace
}  // namespace xh::serve
