#include "cli/inspect.h"

#include <gtest/gtest.h>

#include "weights/gguf_writer.h"

namespace xh::cli {
namespace {

struct Made {
  std::vector<std::byte> bytes;
  ModelFile file;
};

Made make(const std::string& name) {
  static const std::vector<std::byte> data(18 * 4);
  GgufWriter writer;
  writer.set("general.architecture", std::string("llama"));
  writer.set("general.name", name);
  writer.set("llama.block_count", uint64_t{2});
  writer.set("tokenizer.ggml.model", std::string("gpt2"));
  writer.set("tokenizer.ggml.tokens", std::vector<std::string>{"<s>", "a", "\xff\x1b[31m", "d", "e",
                                                               "f", "g", "h", "i", "j"});
  writer.set("tokenizer.ggml.bos_token_id", uint64_t{0});
  writer.set("tokenizer.ggml.eos_token_id", uint64_t{4000000000});
  writer.set("tokenizer.chat_template", std::string("{{ a }}\nline\x1b[2J"));
  writer.add_tensor("w", DType::kQ4_0, {{4, 32, 1, 1}, 2}, data);
  writer.add_tensor("b", DType::kF32, {{4, 1, 1, 1}, 1}, std::span(data).first(16));
  auto bytes = writer.to_bytes().value();
  auto file = ModelFile::parse(bytes, "test").value();
  return {std::move(bytes), std::move(file)};
}

TEST(Inspect, JsonHasTheFacts) {
  const Made made = make("tiny");
  const auto json = inspect_json(made.file);
  EXPECT_EQ(json.at("architecture"), "llama");
  EXPECT_EQ(json.at("parameters"), 132);
  EXPECT_EQ(json.at("dimensions").at("layers"), 2);
  ASSERT_EQ(json.at("types").as_array().size(), 2u);
  EXPECT_EQ(json.at("types").at(1).at("type"), "Q4_0");
  EXPECT_EQ(json.at("types").at(1).at("bytes"), 72);
  EXPECT_EQ(json.at("tensors").at(1).at("shape"), (boost::json::array{4, 32}));
  EXPECT_EQ(json.at("tokenizer").at("tokens"), 10);
  EXPECT_EQ(json.at("tokenizer").at("bos").at("text"), "<s>");
  EXPECT_FALSE(json.at("tokenizer").at("eos").as_object().contains("text"))
      << "an id outside the vocabulary";
  EXPECT_EQ(json.at("metadata").at("tokenizer.ggml.tokens").at("count"), 10);
  const auto text = boost::json::serialize(json);
  boost::system::error_code code;
  boost::json::parse(text, code);  // invalid UTF-8 would be refused
  EXPECT_FALSE(code) << code.message();
}

TEST(Inspect, TextNeverPassesControlCharactersOn) {
  const Made made = make("na\x1b]0;x\x07me");
  const auto text = inspect_text(made.file, {true, true, true});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
  EXPECT_NE(text.find("(4, 32)"), std::string::npos) << text;
  EXPECT_NE(text.find("Q4_0"), std::string::npos);
  EXPECT_NE(text.find("  {{ a }}\n  line"), std::string::npos);
}

TEST(Inspect, AFolderOfSafetensors) {
  const auto file = ModelFile::open(std::string(XH_SOURCE_DIR) + "/tests/fixtures/safetensors");
  ASSERT_TRUE(file) << file.error().to_string();
  const auto json = inspect_json(*file);
  EXPECT_EQ(json.at("format"), "safetensors");
  EXPECT_EQ(json.at("architecture"), "llama");
  EXPECT_EQ(json.at("dimensions").at("embedding"), 5);
  EXPECT_EQ(inspect_text(*file, {}).find("GGUF"), std::string::npos);
}

TEST(Inspect, AnEmptyModelIsNoError) {
  GgufWriter writer;
  const auto bytes = writer.to_bytes().value();
  const auto file = ModelFile::parse(bytes, "empty");
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_NE(inspect_text(*file, {true, true, true}).find("0"), std::string::npos);
}

}  // namespace
}  // namespace xh::cli
