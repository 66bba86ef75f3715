#include "weights/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "tensor/formats/decode.h"
#include "weights/model_file.h"

namespace xh {
namespace {

std::string fixture_folder() {
  return std::string(XH_SOURCE_DIR) + "/tests/fixtures/safetensors";
}

std::vector<std::byte> file_of(const std::string& header, size_t data_bytes) {
  std::vector<std::byte> out(8 + header.size() + data_bytes);
  const uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  std::memcpy(out.data() + 8, header.data(), header.size());
  return out;
}

TEST(HfFolder, ReadsConfigurationAndTensors) {
  auto model = ModelFile::open(fixture_folder());
  ASSERT_TRUE(model) << model.error().to_string();
  const Metadata& m = model->metadata();
  EXPECT_EQ(model->version(), 0u);
  EXPECT_EQ(m.get_string("hf.model_type"), "llama");
  EXPECT_EQ(m.get_int("hf.hidden_size"), 5);
  EXPECT_EQ(m.get_float("hf.rms_norm_eps"), 1e-5);
  EXPECT_EQ(m.get_bool("hf.tie_word_embeddings"), false);
  EXPECT_EQ(m.get_string("hf.rope_scaling.type"), "linear");
  EXPECT_EQ(m.ints("hf.eos_token_id"), (std::vector<int64_t>{1, 2}));
  EXPECT_FALSE(m.has("hf.nothing"));
  EXPECT_FALSE(m.has("hf.mixed"));

  ASSERT_EQ(model->tensors().size(), 4u);
  auto head = model->tensor("lm_head.weight");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->shape, (Shape{{3, 5, 1, 1}, 2}));
  std::vector<float> row(5);
  decode_row(*head, 1, row);
  EXPECT_EQ(row, (std::vector<float>{10, 12, 14, 16, 18}));
  auto norm = model->tensor("model.norm.weight");
  ASSERT_TRUE(norm);
  row.resize(2);
  decode_values(norm->type, norm->data, row);
  EXPECT_EQ(row, (std::vector<float>{1.5f, -2.0f}));
  auto scale = model->tensor("scale");
  ASSERT_TRUE(scale);
  EXPECT_EQ(scale->shape, (Shape{{1, 1, 1, 1}, 1}));
}

TEST(HfFolder, StaysInsideItsFolder) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("xiaohu_hf_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "config.json") << "{}";
  auto missing = ModelFile::open(folder);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  for (const char* name : {"../x.safetensors", "/etc/passwd", ".hidden", "a/b", ""}) {
    std::ofstream(folder / "model.safetensors.index.json")
        << R"({"weight_map": {"w": ")" << name << "\"}}";
    auto model = ModelFile::open(folder);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, ErrorCode::kCorrupt) << name;
    EXPECT_NE(model.error().message.find("plain file name"), std::string::npos);
  }
  // A configuration whose keys would take far more memory than the file.
  std::string wide = "{\"" + std::string(100000, 'k') + "\":{\"a0\":0";
  for (int i = 1; i < 2000; ++i) wide += ",\"a" + std::to_string(i) + "\":0";
  std::ofstream(folder / "config.json") << wide << "}}";
  EXPECT_EQ(ModelFile::open(folder).error().code, ErrorCode::kTooLarge);
  std::filesystem::remove_all(folder);
}

TEST(Safetensors, RefusesHostileHeaders) {
  struct {
    const char* header;
    size_t data_bytes;
    const char* says;
  } cases[] = {
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4, "bytes of data"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 12, "bytes of data"},
      {R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "another size"},
      {R"({"w":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}})", 0,
       "another size"},
      {R"({"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "dimension"},
      {R"({"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0, "dimension"},
      {R"({"w":{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}})", 8, "dimension"},
      {R"({"w":{"dtype":"F32","shape":[1,1,1,1,2],"data_offsets":[0,8]}})", 8, "4 dimensions"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "data_offsets"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})", 8,
       "another size"},
      {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "starts at 4"},
      {R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[4],"data_offsets":[2,6]}})",
       6, "starts at 2"},
      {R"({"w":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"w":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})",
       8, "data"},
      {R"({"w":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", 4, "not supported"},
      {R"({"w":{"dtype":"Q4_0","shape":[32],"data_offsets":[0,18]}})", 18, "not supported"},
      {R"({"w":[]})", 0, "JSON object"},
      {R"([])", 0, "JSON object"},
      {R"({"w":)", 0, "not valid JSON"},
  };
  for (const auto& c : cases) {
    const auto bytes = file_of(c.header, c.data_bytes);
    auto tensors = parse_safetensors(bytes, "x.safetensors");
    ASSERT_FALSE(tensors) << c.header;
    EXPECT_NE(tensors.error().message.find(c.says), std::string::npos)
        << tensors.error().to_string() << "\n"
        << c.header;
    EXPECT_TRUE(tensors.error().where.starts_with("x.safetensors"));
  }
  auto deep = parse_safetensors(file_of(std::string(100000, '['), 0), "deep");
  EXPECT_EQ(deep.error().code, ErrorCode::kCorrupt);
  // Four million values of two bytes each would be 100 MB of JSON objects.
  std::string many = "{\"w\":[0";
  for (int i = 0; i < (4 << 20); ++i) many += ",0";
  auto greedy = parse_safetensors(file_of(many + "]}", 0), "greedy");
  EXPECT_EQ(greedy.error().code, ErrorCode::kTooLarge);
  const std::vector<std::byte> huge(16, std::byte{0xff});
  EXPECT_EQ(parse_safetensors(huge, "huge").error().code, ErrorCode::kCorrupt);
}

TEST(Safetensors, SurvivesDamageOfEveryBitAndLength) {
  const auto good = file_of(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}})",
      20);
  ASSERT_TRUE(parse_safetensors(good, "x"));
  size_t loaded = 0;
  auto attempt = [&](const std::vector<std::byte>& bytes) {
    auto tensors = parse_safetensors(bytes, "x");
    if (!tensors) {
      ASSERT_FALSE(tensors.error().message.empty());
      return;
    }
    ++loaded;
    for (const auto& t : *tensors) {
      ASSERT_GE(t.view.data, bytes.data());
      ASSERT_LE(t.view.data + t.view.bytes, bytes.data() + bytes.size());
      std::vector<float> values(static_cast<size_t>(t.view.shape.count()));
      decode_values(t.view.type, t.view.data, values);
    }
  };
  for (size_t n = 0; n < good.size(); ++n)
    attempt({good.begin(), good.begin() + static_cast<long>(n)});
  EXPECT_EQ(loaded, 0u);
  auto bytes = good;
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<std::byte>(1 << bit);
      attempt(bytes);
      bytes[i] = good[i];
    }
  }
  EXPECT_GT(loaded, 160u);  // at least every bit of the data
  std::mt19937 rng(3);
  for (int i = 0; i < 20000; ++i) {
    bytes = good;
    for (uint32_t n = 1 + rng() % 4; n > 0; --n)
      bytes[8 + rng() % (bytes.size() - 8)] = static_cast<std::byte>(rng());
    attempt(bytes);
  }
}

}  // namespace
}  // namespace xh
