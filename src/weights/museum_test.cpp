// T3: one input for each public hole in readers of model files. Each must be refused with a typed
// error that names the file, the offset and the culprit. With XIAOHU_CORPUS=FOLDER the inputs are
// also written there, as seeds for fuzz/gguf_fuzz.cpp.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "weights/model_file.h"
#include "weights/raw_gguf.h"

namespace xh {
namespace {

constexpr uint64_t k2p63 = uint64_t{1} << 63;
constexpr uint64_t kMax = UINT64_MAX;
constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ4_0 = 2;

struct Exhibit {
  const char* name;
  const char* hole;  // what went wrong elsewhere
  RawGguf file;
  ErrorCode code;
  const char* culprit;  // must appear in the message
};

std::vector<Exhibit> counts() {
  return {
      {"cve_2024_21836_n_tensors", "tensor count times entry size wrapped",
       RawGguf(kMax / 8 + 2, 0).data(64), ErrorCode::kCorrupt, "tensor_count"},
      {"cve_2024_23605_n_kv", "key count times entry size wrapped",
       RawGguf(0, (uint64_t{1} << 61) + 1).data(64), ErrorCode::kCorrupt, "metadata_kv_count"},
      {"cve_2024_23496_string_length", "length + 1 wrapped to an empty buffer",
       RawGguf(0, 1).text_of(kMax, "general.name").data(64), ErrorCode::kCorrupt, "key 0"},
      {"cve_2024_21825_array_of_strings", "array count times string size wrapped",
       RawGguf(0, 1).array("tokens", GgufType::kString, (kMax >> 4) + 2).data(64),
       ErrorCode::kCorrupt, "tokens"},
      {"cve_2024_21825_array_of_numbers", "array count times element size wrapped",
       RawGguf(0, 1).array("scores", GgufType::kFloat32, (kMax >> 2) + 2).data(64),
       ErrorCode::kCorrupt, "scores"},
      {"array_longer_than_the_file", "memory taken before the file's length was looked at",
       RawGguf(0, 1).array("scores", GgufType::kUint8, uint64_t{1} << 36).data(64),
       ErrorCode::kCorrupt, "scores"},
      {"nested_arrays", "recursion as deep as the file says",
       RawGguf(0, 1).array("deep", GgufType::kArray, 1).put(9u).put(uint64_t{1}).data(64),
       ErrorCode::kUnsupported, "deep"},
      {"unknown_value_type", "type used as a table index",
       RawGguf(0, 1).text("k").put(0x80000001u).data(64), ErrorCode::kCorrupt, "'k'"},
      {"duplicate_key", "readers disagree about which one counts",
       RawGguf(0, 2)
           .key("k", GgufType::kUint8, uint8_t{1})
           .key("k", GgufType::kUint8, uint8_t{2})
           .data(64),
       ErrorCode::kCorrupt, "duplicate metadata key 'k'"},
  };
}

std::vector<Exhibit> tensors() {
  return {
      {"cve_2024_21802_dims", "more than four dimensions written past info->ne",
       RawGguf(1, 0).tensor("w", std::vector<uint64_t>(64, 1), kF32, 0).data(64),
       ErrorCode::kCorrupt, "'w': 64 dimensions"},
      {"cve_2025_53630_padded_sizes", "sum of padded tensor sizes wrapped",
       RawGguf(2, 0)
           .tensor("a", {(k2p63 - 32) / 4}, kF32, 0)
           .tensor("b", {(k2p63 - 32) / 4}, kF32, k2p63 - 32)
           .data(64),
       ErrorCode::kCorrupt, "'a'"},
      {"cve_2026_27940_context_size", "table size plus data size wrapped, after the first fix",
       RawGguf(2, 0)
           .tensor("a", {kMax / 4 / 32 * 32}, kF32, 0)
           .tensor("b", {8}, kF32, kMax / 32 * 32)
           .data(64),
       ErrorCode::kCorrupt, "'a'"},
      {"padding_to_zero", "padding a size near 2^64 gave zero",
       RawGguf(1, 0).tensor("a", {kMax / 4}, kF32, 0).data(64), ErrorCode::kCorrupt, "'a'"},
      {"cve_2026_33298_dimension_product", "2^42 rows of 2^22 bytes came to zero bytes",
       RawGguf(1, 0)
           .tensor("token_embd.weight", {1152, (uint64_t{1} << 42) + 1, uint64_t{1} << 20}, kQ4_0,
                   0)
           .data(4096),
       ErrorCode::kCorrupt, "'token_embd.weight'"},
      {"product_wraps_to_a_small_size", "2^32 · 2^32 values came to none",
       RawGguf(1, 0).tensor("w", {uint64_t{1} << 32, uint64_t{1} << 32}, kF32, 0).data(64),
       ErrorCode::kCorrupt, "'w'"},
      {"cve_2026_7482_shape_past_the_end",
       "shape believed, file shorter: neighbours' memory leaked",
       RawGguf(1, 0).tensor("w", {1000, 1000}, kF32, 0).data(64), ErrorCode::kCorrupt, "'w'"},
      {"cve_2026_7482_offset_past_the_end", "offset believed, file shorter",
       RawGguf(1, 0).tensor("w", {8}, kF32, 4096).data(64), ErrorCode::kCorrupt, "'w'"},
      {"offset_wraps", "offset plus size wrapped into the file",
       RawGguf(1, 0).tensor("w", {8}, kF32, kMax - 31).data(64), ErrorCode::kCorrupt, "'w'"},
      {"negative_dimension", "signed dimension below zero",
       RawGguf(1, 0).tensor("w", {8, k2p63 + 1}, kF32, 0).data(64), ErrorCode::kCorrupt, "'w'"},
      {"zero_dimension", "division by a dimension of zero",
       RawGguf(1, 0).tensor("w", {8, 0}, kF32, 0).data(64), ErrorCode::kCorrupt, "'w'"},
      {"tensor_type_out_of_table", "negative type read before the table of types",
       RawGguf(1, 0).tensor("w", {8}, 0xffffffffu, 0).data(64), ErrorCode::kCorrupt, "'w'"},
      {"removed_tensor_type", "a type whose table entry has block size zero",
       RawGguf(1, 0).tensor("w", {32}, 4, 0).data(64), ErrorCode::kUnsupported, "Q4_2"},
      {"broken_block_row", "rows that end inside a block",
       RawGguf(1, 0).tensor("w", {16, 2}, kQ4_0, 0).data(64), ErrorCode::kCorrupt, "'w'"},
      {"duplicate_tensor", "second tensor of a name replaces the checked one",
       RawGguf(2, 0).tensor("w", {8}, kF32, 0).tensor("w", {8}, kF32, 32).data(64),
       ErrorCode::kCorrupt, "duplicate tensor 'w'"},
      {"overlapping_tensors", "two tensors share bytes",
       RawGguf(2, 0).tensor("a", {16}, kF32, 0).tensor("b", {8}, kF32, 32).data(64),
       ErrorCode::kCorrupt, "overlaps"},
      {"unaligned_tensor", "aligned loads from an odd address",
       RawGguf(1, 0).tensor("w", {4}, kF32, 4).data(64), ErrorCode::kCorrupt, "'w'"},
  };
}

std::vector<Exhibit> headers() {
  auto alignment = [](uint32_t value) {
    return RawGguf(1, 1)
        .key("general.alignment", GgufType::kUint32, value)
        .tensor("w", {8}, kF32, 0)
        .data(64);
  };
  std::vector<Exhibit> all = {
      {"alignment_zero", "division by zero", alignment(0), ErrorCode::kCorrupt,
       "general.alignment"},
      {"alignment_odd", "mask arithmetic on a number that is no power of two", alignment(33),
       ErrorCode::kCorrupt, "general.alignment"},
      {"alignment_huge", "padding wraps", alignment(0x80000000u), ErrorCode::kCorrupt,
       "general.alignment"},
      {"alignment_of_another_type", "bytes read as a number of another width",
       RawGguf(0, 1).text("general.alignment").type(GgufType::kString).text("32"),
       ErrorCode::kCorrupt, "general.alignment"},
      {"version_1", "32-bit counts read as 64-bit", RawGguf(0, 0, 1).data(64),
       ErrorCode::kUnsupported, "version"},
      {"version_4", "future layout read as today's", RawGguf(0, 0, 4).data(64),
       ErrorCode::kUnsupported, "version"},
      {"big_endian", "byte-swapped counts", RawGguf(0, 0, 0x03000000u).data(64),
       ErrorCode::kUnsupported, "big-endian"},
      {"boolean_of_value_2", "a bool that is neither true nor false",
       RawGguf(0, 1).key("k", GgufType::kBool, uint8_t{2}), ErrorCode::kCorrupt, "'k'"},
      {"name_with_zero_byte", "two readers see two names",
       RawGguf(1, 0).tensor(std::string_view("a\0b", 3), {8}, kF32, 0).data(64),
       ErrorCode::kCorrupt, "zero byte"},
      {"endless_split_set", "a part count that opens files without end",
       RawGguf(0, 2)
           .key("split.count", GgufType::kUint64, kMax)
           .key("split.no", GgufType::kUint16, uint16_t{0}),
       ErrorCode::kCorrupt, "split.count"},
      {"split_part_of_zero", "an index past the set",
       RawGguf(0, 2)
           .key("split.count", GgufType::kUint16, uint16_t{2})
           .key("split.no", GgufType::kUint16, uint16_t{7}),
       ErrorCode::kCorrupt, "split.no"},
  };
  return all;
}

void check(const Exhibit& e) {
  SCOPED_TRACE(std::string(e.name) + ": " + e.hole);
  auto file = ModelFile::parse(e.file.bytes(), "museum.gguf");
  ASSERT_FALSE(file);
  const Error& error = file.error();
  EXPECT_EQ(error.code, e.code) << error.to_string();
  EXPECT_NE(error.message.find(e.culprit), std::string::npos) << error.to_string();
  EXPECT_TRUE(error.where.starts_with("museum.gguf")) << error.to_string();
  if (const char* folder = std::getenv("XIAOHU_CORPUS")) {
    std::ofstream out(std::filesystem::path(folder) / e.name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(e.file.bytes().data()),
              static_cast<std::streamsize>(e.file.bytes().size()));
  }
}

TEST(Museum, CountsAndLengths) {
  for (const auto& e : counts()) check(e);
}

TEST(Museum, Tensors) {
  for (const auto& e : tensors()) check(e);
}

TEST(Museum, HeadersAndSplits) {
  for (const auto& e : headers()) check(e);
}

// CVE-2025-49847: a vocabulary entry longer than a signed 32-bit length can say. The bytes are
// really there (a sparse file), so only a limit helps.
TEST(Museum, TokenLongerThan32Bits) {
  constexpr uint64_t kTokenBytes = (uint64_t{1} << 31) + 5;
  RawGguf start(0, 1);
  start.array("tokenizer.ggml.tokens", GgufType::kString, 1).put(kTokenBytes);
  const std::string path = std::filesystem::temp_directory_path() /
                           ("xiaohu_long_token_" + std::to_string(::getpid()) + ".gguf");
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, start.bytes().data(), start.bytes().size()),
            static_cast<ssize_t>(start.bytes().size()));
  ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(start.bytes().size() + kTokenBytes + 4096)), 0);
  ::close(fd);
  auto file = ModelFile::open(path);
  std::filesystem::remove(path);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kTooLarge);
  EXPECT_NE(file.error().message.find("tokenizer.ggml.tokens"), std::string::npos);
  EXPECT_NE(file.error().message.find("element 0"), std::string::npos);
  EXPECT_NE(file.error().where.find("offset"), std::string::npos);
}

TEST(Museum, OtherKindsOfFilesAreNamed) {
  struct {
    std::string_view start;
    const char* says;
  } cases[] = {{"PK\x03\x04 and more bytes", "zip"},
               {"<!DOCTYPE html><html>", "web page"},
               {"version https://git-lfs.github.com/spec/v1", "Git LFS"},
               {"lmgg and what follows", "before GGUF"},
               {std::string_view("\x40\0\0\0\0\0\0\0{\"a\":{}}", 16), "safetensors"},
               {"FUGG\x03 and so on", "big-endian"},
               {"anything else", "not a GGUF"},
               {"GG", "magic"},
               {"", "empty"}};
  for (const auto& c : cases) {
    auto file = ModelFile::parse(std::as_bytes(std::span(c.start)), "x.gguf");
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().message.find(c.says), std::string::npos) << file.error().to_string();
  }
}

}  // namespace
}  // namespace xh
