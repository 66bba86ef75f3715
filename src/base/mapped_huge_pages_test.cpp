#include "base/mapped_huge_pages.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "base/huge_pages.h"

namespace xh {
namespace {

class MappedHugePages : public ::testing::Test {
 protected:
  void SetUp() override {
    const int fd = ::mkstemp(path_);
    ASSERT_GE(fd, 0);
    ::close(fd);
  }
  void TearDown() override { ::unlink(path_); }

  // In writes of `piece` bytes, which is how the page cache then holds it.
  MappedFile written(size_t bytes, size_t piece) {
    std::mt19937 random(1);
    text_.resize(bytes);
    for (char& c : text_) c = static_cast<char>(random());
    std::ofstream out(path_, std::ios::binary);
    for (size_t at = 0; at < bytes; at += piece)
      out.write(text_.data() + at, static_cast<std::streamsize>(std::min(piece, bytes - at)))
          .flush();
    out.close();
    auto file = MappedFile::open(path_);
    EXPECT_TRUE(file);
    return std::move(*file);
  }
  bool holds(const MappedFile& file) const {
    return file.bytes().size() == text_.size() &&
           std::memcmp(file.bytes().data(), text_.data(), text_.size()) == 0;
  }

  char path_[32] = "/tmp/xh-huge-XXXXXX";
  std::string text_;
};

// Whether pages become huge is the kernel's and the file system's choice; what they hold is not.
TEST_F(MappedHugePages, GatheringKeepsEveryByte) {
  const MappedFile file = written(3 * kHugePageBytes + 12345, 4096);
  prefer_huge_pages(file);
  ASSERT_TRUE(holds(file));
  const uint64_t before = huge_page_bytes(file);
  gather_huge_pages(file, 10);
  EXPECT_TRUE(holds(file));
  EXPECT_GE(huge_page_bytes(file), before);
  EXPECT_LE(huge_page_bytes(file), file.bytes().size());
  EXPECT_EQ(huge_page_bytes(file) % kHugePageBytes, 0u);
}

TEST_F(MappedHugePages, SmallFilesAndFilesThatAreGoneAreLeftAlone) {
  const MappedFile small = written(1000, 1000);
  prefer_huge_pages(small);
  gather_huge_pages(small, 10);
  EXPECT_TRUE(holds(small));
  EXPECT_EQ(huge_page_bytes(small), 0u);
  const MappedFile file = written(2 * kHugePageBytes, kHugePageBytes);
  ::unlink(path_);
  gather_huge_pages(file, 10);
  EXPECT_TRUE(holds(file));
}

}  // namespace
}  // namespace xh
