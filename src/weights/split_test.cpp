// Models split over several files.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tensor/formats/decode.h"
#include "weights/gguf_writer.h"
#include "weights/model_file.h"

namespace xh {
namespace {

class Split : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("xiaohu_split_" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder_);
    for (uint64_t i = 0; i < 3; ++i) write_part(i, i, 3, "tensor." + std::to_string(i), path(i));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(uint64_t i) const {
    return folder_ / ("m-0000" + std::to_string(i + 1) + "-of-00003.gguf");
  }

  // A part with one tensor that holds `value` four times.
  void write_part(uint64_t value, uint64_t no, uint64_t count, const std::string& tensor,
                  const std::string& path) {
    GgufWriter w;
    if (no == 0) w.set("general.architecture", std::string("llama"));
    w.set("split.no", no);
    w.set("split.count", count);
    w.set("split.tensors.count", int64_t{3});
    const std::vector<float> values(4, static_cast<float>(value));
    w.add_tensor(tensor, DType::kF32, Shape{{4, 1, 1, 1}, 1}, std::as_bytes(std::span(values)));
    auto written = w.write(path);
    ASSERT_TRUE(written) << written.error().to_string();
  }

  std::filesystem::path folder_;
};

TEST_F(Split, JoinsTheParts) {
  auto file = ModelFile::open(path(0));
  ASSERT_TRUE(file) << file.error().to_string();
  ModelFile moved = std::move(*file);  // views stay valid
  EXPECT_EQ(moved.tensors().size(), 3u);
  EXPECT_EQ(moved.metadata().get_string("general.architecture"), "llama");
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < 3; ++i) {
    bytes += std::filesystem::file_size(path(i));
    auto view = moved.tensor("tensor." + std::to_string(i));
    ASSERT_TRUE(view);
    float out[4];
    decode_values(view->type, view->data, out);
    EXPECT_EQ(out[3], static_cast<float>(i));
    moved.release(*view);
  }
  EXPECT_EQ(moved.file_bytes(), bytes);
}

TEST_F(Split, NamesTheMissingPart) {
  std::filesystem::remove(path(1));
  auto file = ModelFile::open(path(0));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(file.error().where, path(1));
  EXPECT_NE(file.error().message.find("part 2 of 3"), std::string::npos);
}

TEST_F(Split, SendsTheReaderToTheFirstPart) {
  auto file = ModelFile::open(path(1));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(file.error().remedy.find("-00001-of-00003.gguf"), std::string::npos);
}

TEST_F(Split, RefusesPartsThatDoNotBelong) {
  write_part(1, 2, 3, "tensor.1", path(1));  // says it is the third
  EXPECT_EQ(ModelFile::open(path(0)).error().code, ErrorCode::kCorrupt);
  write_part(1, 1, 4, "tensor.1", path(1));  // of another set
  EXPECT_EQ(ModelFile::open(path(0)).error().code, ErrorCode::kCorrupt);
  write_part(1, 1, 3, "tensor.0", path(1));  // repeats a tensor
  auto twice = ModelFile::open(path(0));
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().message.find("duplicate tensor 'tensor.0'"), std::string::npos);
}

TEST_F(Split, NeedsTheNamesThatSayTheOrder) {
  const std::string renamed = folder_ / "renamed.gguf";
  std::filesystem::rename(path(0), renamed);
  auto file = ModelFile::open(renamed);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(file.error().remedy.empty());
}

TEST_F(Split, CountsTheTensorsOfTheSet) {
  GgufWriter w;
  w.set("split.tensors.count", int64_t{5});
  const std::string alone = folder_ / "alone.gguf";
  ASSERT_TRUE(w.write(alone));
  auto file = ModelFile::open(alone);
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("announces 5"), std::string::npos);
}

}  // namespace
}  // namespace xh
