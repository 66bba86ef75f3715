#include "cli/npy.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace xh::cli {
namespace {

TEST(Npy, HeaderIsPaddedTo64Bytes) {
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 49152}, {123456789, 987654321}}) {
    const std::string header = npy_header(rows, cols);
    EXPECT_EQ(header.size() % 64, 0u);
    EXPECT_EQ(header.substr(0, 6), "\x93NUMPY");
    EXPECT_EQ(static_cast<unsigned char>(header[8]) + 256u * static_cast<unsigned char>(header[9]),
              header.size() - 10);
    EXPECT_EQ(header.back(), '\n');
    EXPECT_NE(header.find("'shape': (" + std::to_string(rows) + ", " + std::to_string(cols) + ")"),
              std::string::npos);
  }
}

TEST(Npy, AFileAppearsOnlyWhenItIsWhole) {
  char pattern[] = "/tmp/xh_npy_XXXXXX";
  const std::string folder = mkdtemp(pattern), path = folder + "/x.npy";
  const float row[] = {1.5f, -2.0f};
  {
    auto writer = NpyWriter::create(path, 2, 2);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->append(row));
    EXPECT_FALSE(writer->close());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  auto writer = NpyWriter::create(path, 2, 2);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->append(row));
  ASSERT_TRUE(writer->append(row));
  ASSERT_TRUE(writer->close());
  EXPECT_EQ(std::filesystem::file_size(path), npy_header(2, 2).size() + 16);
  EXPECT_FALSE(NpyWriter::create(folder + "/no/such/x.npy", 1, 1));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace xh::cli
