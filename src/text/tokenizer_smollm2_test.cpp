// The real vocabulary of SmolLM2 against Hugging Face `tokenizers`, where the model is at hand:
// XIAOHU_TEST_MODEL, or the default model in the user's data folder.
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/mapped_file.h"
#include "text/tokenizer_fixture_test.h"

namespace xh {
namespace {

constexpr const char* kFile = "SmolLM2-135M-Instruct.Q4_1.gguf";

std::string model_path() {
  if (const char* path = std::getenv("XIAOHU_TEST_MODEL")) return path;
  std::string data;
  if (const char* xdg = std::getenv("XDG_DATA_HOME")) data = xdg;
  if (const char* home = std::getenv("HOME"); data.empty() && home)
    data = std::string(home) + "/.local/share";
  std::error_code error;
  const std::filesystem::path root = data + "/xiaohu";
  for (auto it = std::filesystem::recursive_directory_iterator(root, error);
       !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error))
    if (it->path().filename() == kFile) return it->path();
  return {};
}

// Just enough of GGUF for a trusted file; the room of the real reader lies above this one.
class Metadata {
 public:
  explicit Metadata(const char* data) : p_(data + 16) {
    const auto n = take<uint64_t>();
    for (uint64_t i = 0; i < n; ++i) {
      const std::string key = text();
      read_value(key);
    }
  }
  TokenizerSpec spec;

 private:
  template <class T>
  T take() {
    T v;
    std::memcpy(&v, p_, sizeof v);
    p_ += sizeof v;
    return v;
  }
  std::string text() {
    const auto n = take<uint64_t>();
    p_ += n;
    return std::string(p_ - n, n);
  }
  void read_value(const std::string& key) {
    constexpr uint32_t kString = 8, kArray = 9;
    constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    const auto type = take<uint32_t>();
    if (type == kString) {
      const std::string value = text();
      if (key == "tokenizer.ggml.model") spec.model = value;
      if (key == "tokenizer.ggml.pre") spec.pre = value;
    } else if (type == kArray) {
      const auto element = take<uint32_t>();
      const auto n = take<uint64_t>();
      for (uint64_t i = 0; i < n; ++i) {
        if (element == kString) {
          std::string value = text();
          if (key == "tokenizer.ggml.tokens")
            spec.tokens.push_back(std::move(value));
          else if (key == "tokenizer.ggml.merges")
            spec.merges.push_back(std::move(value));
        } else if (key == "tokenizer.ggml.token_type") {
          spec.kinds.push_back(take<int32_t>());
        } else {
          p_ += kSizes[element];
        }
      }
    } else {
      p_ += kSizes[type];
    }
  }
  const char* p_;
};

TEST(SmolLM2, EncodesLikeTheJudge) {
  const std::string path = model_path();
  if (path.empty())
    GTEST_SKIP() << "SKIPPED, NOT TESTED: " << kFile
                 << " not found; set XIAOHU_TEST_MODEL to check the real vocabulary";
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file) << file.error().to_string();
  Metadata metadata(reinterpret_cast<const char*>(file->bytes().data()));
  if (metadata.spec.tokens.size() != 49152)
    GTEST_SKIP() << "SKIPPED: " << path << " is another model";
  auto t = Tokenizer::create(std::move(metadata.spec));
  ASSERT_TRUE(t) << t.error().to_string();
  const auto expected = fixture::read("smollm2");
  const auto texts = fixture::texts();
  for (size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ((*t)->encode(texts[i]),
              boost::json::value_to<std::vector<TokenId>>(expected.at("ids").at(i)))
        << i << ": " << texts[i];
}

}  // namespace
}  // namespace xh
