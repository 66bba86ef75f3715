#include "weights/gguf_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tensor/formats/decode.h"
#include "weights/model_file.h"

namespace xh {
namespace {

std::span<const std::byte> bytes_of(const TensorView& view) {
  return {view.data, view.bytes};
}

void expect_same_model(const ModelFile& a, const ModelFile& b) {
  EXPECT_EQ(a.metadata().values(), b.metadata().values());
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (size_t i = 0; i < a.tensors().size(); ++i) {
    const auto& x = a.tensors()[i];
    const auto& y = b.tensors()[i];
    EXPECT_EQ(x.name, y.name);
    EXPECT_EQ(x.view.type, y.view.type);
    EXPECT_EQ(x.view.shape, y.view.shape);
    EXPECT_TRUE(std::ranges::equal(bytes_of(x.view), bytes_of(y.view))) << x.name;
  }
}

TEST(GgufWriter, WhatItWritesReadsBackTheSame) {
  auto original = ModelFile::open(std::string(XH_SOURCE_DIR) + "/tests/fixtures/gguf/tiny.gguf");
  ASSERT_TRUE(original) << original.error().to_string();
  GgufWriter writer;
  writer.set_all(original->metadata());
  for (const auto& t : original->tensors())
    writer.add_tensor(t.name, t.view.type, t.view.shape, bytes_of(t.view));
  auto bytes = writer.to_bytes();
  ASSERT_TRUE(bytes) << bytes.error().to_string();
  auto copy = ModelFile::parse(*bytes, "copy");
  ASSERT_TRUE(copy) << copy.error().to_string();
  expect_same_model(*original, *copy);
}

TEST(GgufWriter, WritesAFileAtomicallyAndHonoursTheAlignment) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("xiaohu_gguf_writer_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string path = folder / "model.gguf";
  const std::vector<float> values = {1, 2, 3};
  GgufWriter writer;
  writer.set("general.alignment", uint64_t{256});
  writer.add_tensor("a", DType::kF32, Shape{{3, 1, 1, 1}, 1}, std::as_bytes(std::span(values)));
  writer.add_tensor("b", DType::kF32, Shape{{1, 3, 1, 1}, 2},
                    [&](std::span<std::byte> out) -> Result<void> {
                      std::ranges::copy(std::as_bytes(std::span(values)), out.begin());
                      return {};
                    });
  auto written = writer.write(path);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_FALSE(std::filesystem::exists(path + ".part"));
  auto file = ModelFile::open(path);
  ASSERT_TRUE(file) << file.error().to_string();
  for (const char* name : {"a", "b"}) {
    const TensorView* view = file->find(name);
    ASSERT_NE(view, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view->data) % 256, 0u);
    std::vector<float> got(3);
    decode_values(view->type, view->data, got);
    EXPECT_EQ(got, values);
  }

  GgufWriter failing;
  failing.add_tensor(
      "a", DType::kF32, Shape{{3, 1, 1, 1}, 1},
      [](std::span<std::byte>) -> Result<void> { return fail(ErrorCode::kIo, "no data"); });
  EXPECT_FALSE(failing.write(path));
  EXPECT_TRUE(ModelFile::open(path)) << "the old file must survive";
  EXPECT_FALSE(std::filesystem::exists(path + ".part"));
  std::filesystem::remove_all(folder);
}

TEST(GgufWriter, RefusesWhatCannotBeStored) {
  const std::vector<float> values(32);
  const auto data = std::as_bytes(std::span(values));
  auto refused = [](const GgufWriter& w) {
    auto bytes = w.to_bytes();
    return !bytes && bytes.error().code == ErrorCode::kInvalidArgument;
  };
  GgufWriter short_data, twice, ragged, zero, wide, alignment;
  short_data.add_tensor("a", DType::kF32, Shape{{33, 1, 1, 1}, 1}, data);
  EXPECT_TRUE(refused(short_data));
  twice.add_tensor("a", DType::kF32, Shape{{32, 1, 1, 1}, 1}, data);
  twice.add_tensor("a", DType::kF32, Shape{{32, 1, 1, 1}, 1}, data);
  EXPECT_TRUE(refused(twice));
  ragged.add_tensor("a", DType::kQ4_0, Shape{{2, 16, 1, 1}, 2}, data.first(18));
  EXPECT_TRUE(refused(ragged));
  zero.add_tensor("a", DType::kF32, Shape{{0, 32, 1, 1}, 2}, data.first(0));
  EXPECT_TRUE(refused(zero));
  wide.set("k", uint64_t{300}, GgufType::kUint8);
  EXPECT_TRUE(refused(wide));
  alignment.set("general.alignment", uint64_t{48});
  EXPECT_TRUE(refused(alignment));
}

}  // namespace
}  // namespace xh
