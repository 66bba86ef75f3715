#include "weights/model_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tensor/formats/decode.h"

namespace xh {
namespace {

std::string fixture(const std::string& name) {
  return std::string(XH_SOURCE_DIR) + "/tests/fixtures/gguf/" + name;
}

// tiny.gguf is written by PyPI's `gguf` (tools/make_format_fixtures.py).
TEST(ModelFile, ReadsEveryKindOfMetadata) {
  auto file = ModelFile::open(fixture("tiny.gguf"));
  ASSERT_TRUE(file) << file.error().to_string();
  const Metadata& m = file->metadata();
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(m.get_string("general.architecture"), "llama");
  EXPECT_EQ(m.get_int("t.u8"), 200);
  EXPECT_EQ(m.get_int("t.i8"), -100);
  EXPECT_EQ(m.get_int("t.u16"), 60000);
  EXPECT_EQ(m.get_int("t.i16"), -30000);
  EXPECT_EQ(m.get_int("t.u32"), 4000000000);
  EXPECT_EQ(m.get_int("t.i32"), -2000000000);
  EXPECT_EQ(m.get_int("t.i64"), INT64_MIN);
  EXPECT_EQ(std::get<uint64_t>(*m.find("t.u64")), UINT64_MAX);
  EXPECT_EQ(m.get_float("t.f32"), 0.5);
  EXPECT_EQ(m.get_float("t.f64"), 0.1);
  EXPECT_EQ(m.get_bool("t.yes"), true);
  EXPECT_EQ(m.get_bool("t.no"), false);
  EXPECT_EQ(m.get_string("t.text"), "小虎 is a small tiger");
  ASSERT_NE(m.strings("tokenizer.ggml.tokens"), nullptr);
  EXPECT_EQ(*m.strings("tokenizer.ggml.tokens"),
            (std::vector<std::string>{"<s>", "a", "小", "a token longer than fifteen bytes"}));
  EXPECT_EQ(m.ints("t.ints"), (std::vector<int64_t>{-1, 0, 1}));
  EXPECT_EQ(m.floats("t.floats"), (std::vector<double>{0.25, -2.0}));
  EXPECT_EQ(std::get<std::vector<bool>>(*m.find("t.bools")),
            (std::vector<bool>{true, false, true}));
}

TEST(ModelFile, GivesTensorsWithReversedDimensions) {
  auto file = ModelFile::open(fixture("tiny.gguf"));
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_EQ(file->file_bytes(), std::filesystem::file_size(fixture("tiny.gguf")));
  EXPECT_EQ(file->tensors().size(), 6u);
  EXPECT_TRUE(std::ranges::is_sorted(file->tensors(), {}, &NamedTensor::name));

  const TensorView* matrix = file->find("matrix");
  ASSERT_NE(matrix, nullptr);
  EXPECT_EQ(matrix->shape, (Shape{{3, 5, 1, 1}, 2}));
  std::vector<float> row(5);
  decode_row(*matrix, 2, row);
  EXPECT_EQ(row, (std::vector<float>{10, 11, 12, 13, 14}));

  auto half = file->tensor("half");
  ASSERT_TRUE(half);
  row.resize(2);
  decode_row(*half, 1, row);
  EXPECT_EQ(row[1], 65504.0f);

  file->release(*matrix);  // stays readable
  row.resize(5);
  decode_row(*matrix, 0, row);
  EXPECT_EQ(row[4], 4.0f);
}

TEST(ModelFile, NamesTheMissingTensorAndKey) {
  auto file = ModelFile::open(fixture("tiny.gguf"));
  ASSERT_TRUE(file);
  auto tensor = file->tensor("output.weight");
  ASSERT_FALSE(tensor);
  EXPECT_EQ(tensor.error().code, ErrorCode::kNotFound);
  EXPECT_NE(tensor.error().to_string().find("output.weight"), std::string::npos);
  EXPECT_NE(tensor.error().where.find("tiny.gguf"), std::string::npos);
  EXPECT_EQ(file->find("matri"), nullptr);
}

TEST(Metadata, RefusesWrongTypesByName) {
  Metadata m;
  m.set("a.text", std::string("x"));
  m.set("a.big", UINT64_MAX);
  m.set("a.int", int64_t{-3});
  auto wrong = m.get_int("a.text");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(wrong.error().message.find("'a.text'"), std::string::npos);
  EXPECT_EQ(m.get_int("a.big").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(m.get_int("absent").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(m.get_int_or("absent", 7), 7);
  EXPECT_FALSE(m.get_int_or("a.text", 7));
  EXPECT_EQ(m.get_float("a.int"), -3.0);
  EXPECT_FALSE(m.get_bool("a.int"));
  EXPECT_EQ(m.strings("a.text"), nullptr);
}

}  // namespace
}  // namespace xh
