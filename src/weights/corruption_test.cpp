// T1: a small model file, damaged in every way we can enumerate. Each variant is either refused
// with a typed error or loads into something that can be used in full; nothing crashes, memory
// stays bounded.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <random>

#include "tensor/formats/decode.h"
#include "weights/gguf_writer.h"
#include "weights/model_file.h"
#include "weights/quantize.h"
#include "weights/raw_gguf.h"

namespace xh {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

uint64_t peak_rss_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// About 4 KiB with every kind of value and several tensor types.
std::vector<std::byte> small_model() {
  GgufWriter w;
  w.set("general.architecture", std::string("llama"));
  w.set("general.alignment", uint64_t{32});
  w.set("llama.block_count", uint64_t{1});
  w.set("llama.rope.freq_base", 10000.0);
  w.set("t.negative", int64_t{-7});
  w.set("t.wide", uint64_t{1} << 40);
  w.set("t.bool", true);
  w.set("t.bools", std::vector<bool>{true, false});
  w.set("t.bytes", std::vector<uint64_t>{1, 2, 3}, GgufType::kUint8);
  w.set("tokenizer.ggml.tokens",
        std::vector<std::string>{"<s>", "a", "ab", "a token of more than sixteen bytes"});
  w.set("tokenizer.ggml.scores", std::vector<double>{0, -1, -2, -3});
  w.set("tokenizer.ggml.token_type", std::vector<int64_t>{3, 1, 1, 1});
  std::vector<float> values(256);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 13) - 6;
  auto add = [&](const char* name, DType type, Shape shape) {
    w.add_tensor(name, type, shape, [=](std::span<std::byte> out) {
      return quantize(type, std::span(values).first(static_cast<size_t>(shape.count())), out);
    });
  };
  add("token_embd.weight", DType::kQ8_0, {{4, 32, 1, 1}, 2});
  add("blk.0.attn_q.weight", DType::kQ4_0, {{8, 32, 1, 1}, 2});
  add("blk.0.attn_v.weight", DType::kQ6_K, {{1, 256, 1, 1}, 2});
  add("blk.0.attn_k.weight", DType::kQ4_K, {{1, 256, 1, 1}, 2});
  add("blk.0.experts.weight", DType::kMXFP4, {{2, 2, 32, 1}, 3});
  add("blk.0.ffn_up.weight", DType::kF16, {{2, 50, 1, 1}, 2});
  add("output.weight", DType::kF32, {{2, 128, 1, 1}, 2});
  add("output_norm.weight", DType::kF32, {{32, 1, 1, 1}, 1});
  auto bytes = w.to_bytes();
  EXPECT_TRUE(bytes) << bytes.error().to_string();
  return *bytes;
}

struct Tally {
  uint64_t loaded = 0;
  uint64_t refused = 0;
};

// Uses everything a loaded file offers.
void use(const ModelFile& file, std::span<const std::byte> bytes) {
  std::vector<float> row;
  for (const auto& [name, view] : file.tensors()) {
    ASSERT_GE(view.data, bytes.data());
    ASSERT_LE(view.data + view.bytes, bytes.data() + bytes.size());
    ASSERT_EQ(view.bytes, dtype_bytes(view.type, static_cast<uint64_t>(view.shape.count())));
    ASSERT_EQ(file.find(name), &view);
    row.resize(static_cast<size_t>(view.cols()));
    for (int64_t r = 0; r < view.rows(); ++r) decode_row(view, r, row);
    file.release(view);
  }
  for (const auto& [key, value] : file.metadata().values()) {
    const Metadata& m = file.metadata();
    (void)m.get_int(key), (void)m.get_float(key), (void)m.get_bool(key), (void)m.get_string(key);
    (void)m.ints(key), (void)m.floats(key), (void)m.strings(key);
  }
}

void try_load(std::span<const std::byte> bytes, Tally& tally) {
  auto file = ModelFile::parse(bytes, "damaged.gguf");
  if (file) {
    ++tally.loaded;
    use(*file, bytes);
    return;
  }
  ++tally.refused;
  const Error& e = file.error();
  ASSERT_TRUE(e.code == ErrorCode::kCorrupt || e.code == ErrorCode::kUnsupported ||
              e.code == ErrorCode::kTooLarge || e.code == ErrorCode::kInvalidArgument)
      << e.to_string();
  ASSERT_FALSE(e.message.empty());
  ASSERT_TRUE(e.where.starts_with("damaged.gguf")) << e.to_string();
}

class Corruption : public testing::Test {
 protected:
  Corruption() : model_(small_model()), rss_before_(peak_rss_bytes()) {}
  ~Corruption() override {
    if (!kSanitized) {
      EXPECT_LE(peak_rss_bytes(), rss_before_ + (64ull << 20));
    }
  }

  // Copies are exact-sized heap blocks, so that a sanitizer sees the first byte past the end.
  std::vector<std::byte> model_;
  uint64_t rss_before_;
  Tally tally_;
};

TEST_F(Corruption, TheModelItselfLoads) {
  EXPECT_GT(model_.size(), 3u << 10);
  EXPECT_LT(model_.size(), 6u << 10);
  try_load(model_, tally_);
  EXPECT_EQ(tally_.loaded, 1u);
}

TEST_F(Corruption, EveryBit) {
  auto bytes = model_;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<std::byte>(1 << bit);
      try_load(bytes, tally_);
      if (HasFatalFailure()) FAIL() << "byte " << i << " bit " << bit;
      bytes[i] = model_[i];
    }
  }
  EXPECT_GT(tally_.refused, 1000u);
  EXPECT_GT(tally_.loaded, 1000u);  // bits of weights are all fair
}

TEST_F(Corruption, EveryTruncation) {
  for (size_t n = 0; n < model_.size(); ++n) {
    const std::vector<std::byte> bytes(model_.begin(), model_.begin() + static_cast<long>(n));
    try_load(bytes, tally_);
    if (HasFatalFailure()) FAIL() << "first " << n << " bytes";
  }
  // Only the padding after the last tensor may be missing.
  EXPECT_LT(tally_.loaded, 32u);
}

template <class T>
void put_at(std::vector<std::byte>& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, std::min(sizeof(T), bytes.size() - at));
}

TEST_F(Corruption, ExtremesInEveryField) {
  const uint64_t size = model_.size();
  const uint64_t wide[] = {0,          1,         INT32_MAX,  UINT32_MAX, 1ull << 32,
                           1ull << 61, INT64_MAX, 1ull << 63, UINT64_MAX, UINT64_MAX - 31,
                           size,       size + 1,  size / 8,   1ull << 42};
  const uint32_t narrow[] = {0, 1, 4, 5, 9, 15, 40, 0x7fffffff, 0x80000000, 0xffffffff};
  // Fields lie at any byte offset, so every offset is one.
  for (size_t at = 4; at < model_.size(); ++at) {
    for (uint64_t value : wide) {
      auto bytes = model_;
      put_at(bytes, at, value);
      try_load(bytes, tally_);
      if (HasFatalFailure()) FAIL() << value << " in 64 bits at " << at;
    }
    for (uint32_t value : narrow) {
      auto bytes = model_;
      put_at(bytes, at, value);
      try_load(bytes, tally_);
      if (HasFatalFailure()) FAIL() << value << " in 32 bits at " << at;
    }
  }
  EXPECT_GT(tally_.refused, 5000u);
}

TEST_F(Corruption, SeededMutants) {
  std::mt19937_64 rng(20261123);
  const int n_mutants = kSanitized ? 20000 : 100000;
  for (int i = 0; i < n_mutants; ++i) {
    auto bytes = model_;
    for (uint64_t n = 1 + rng() % 6; n > 0 && !bytes.empty(); --n) {
      // Damage lands in the header twice as often as in the data.
      const size_t span = rng() % 3 != 0 ? std::min<size_t>(bytes.size(), 1200) : bytes.size();
      const size_t at = rng() % span;
      switch (rng() % 6) {
        case 0: bytes[at] ^= static_cast<std::byte>(1 << rng() % 8); break;
        case 1: bytes[at] = static_cast<std::byte>(rng()); break;
        case 2: put_at(bytes, at, uint64_t{1} << rng() % 64); break;
        case 3: put_at(bytes, at, rng() >> rng() % 64); break;
        case 4: {  // a run of bytes goes
          const size_t n_gone = std::min<size_t>(rng() % 40, bytes.size() - at);
          bytes.erase(bytes.begin() + static_cast<long>(at),
                      bytes.begin() + static_cast<long>(at + n_gone));
          break;
        }
        case 5: {  // a run of bytes comes twice
          const size_t n_twice = std::min<size_t>(rng() % 40, bytes.size() - at);
          const std::vector<std::byte> run(bytes.begin() + static_cast<long>(at),
                                           bytes.begin() + static_cast<long>(at + n_twice));
          bytes.insert(bytes.begin() + static_cast<long>(at), run.begin(), run.end());
          break;
        }
      }
    }
    bytes.shrink_to_fit();
    try_load(bytes, tally_);
    if (HasFatalFailure()) FAIL() << "mutant " << i;
  }
  EXPECT_GT(tally_.refused, static_cast<uint64_t>(n_mutants / 2));
  EXPECT_GT(tally_.loaded, 0u);
}

// Empty strings take 8 bytes in the file and 32 on the heap, so a count that fits the file must
// still be weighed before it is allocated.
TEST(ParseMemory, IsChargedBeforeItIsTaken) {
  auto file_of_empty_strings = [](uint64_t n) {
    RawGguf file(0, 1);
    file.array("tokens", GgufType::kString, n).data(n * 8, 1);
    return file;
  };
  auto modest = file_of_empty_strings(1u << 20);
  EXPECT_TRUE(ModelFile::parse(modest.bytes(), "modest"));
  auto greedy = file_of_empty_strings(4u << 20);
  const uint64_t before = peak_rss_bytes();
  auto refused = ModelFile::parse(greedy.bytes(), "greedy");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  if (!kSanitized) {
    EXPECT_LE(peak_rss_bytes(), before + (8ull << 20));
  }
}

}  // namespace
}  // namespace xh
