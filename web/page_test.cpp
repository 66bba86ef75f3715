#include "serve/page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

namespace xh {
namespace {

std::string text_of(const PageFile& file) {
  return {file.bytes.begin(), file.bytes.end()};
}

uint32_t crc32(std::span<const unsigned char> bytes) {
  uint32_t crc = ~0u;
  for (unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

uint32_t little_endian(std::span<const unsigned char> bytes) {
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | uint32_t{bytes[3]} << 24;
}

TEST(Page, ServesWhatTheIndexNames) {
  const PageFile* index = find_page_file("/");
  ASSERT_NE(index, nullptr);
  EXPECT_EQ(index->content_type, "text/html; charset=utf-8");
  const std::string html = text_of(*index);
  for (std::string_view path : {"/app.js", "/boot.js", "/style.css", "/icon.svg"}) {
    const PageFile* file = find_page_file(path);
    ASSERT_NE(file, nullptr) << path;
    EXPECT_FALSE(file->bytes.empty()) << path;
    EXPECT_NE(html.find(path.substr(1)), std::string::npos) << path << " is not used by the page";
  }
}

TEST(Page, MatchesPathsExactly) {
  for (std::string_view path :
       {"", "/index.html", "//", "/app.js/", "/app.js?x=1", "app.js", "/../etc/passwd", "/APP.JS"})
    EXPECT_EQ(find_page_file(path), nullptr) << path;
}

TEST(Page, EveryFontOfTheStylesheetIsThere) {
  const PageFile* style = find_page_file("/style.css");
  ASSERT_NE(style, nullptr);
  const std::string css = text_of(*style);
  int fonts = 0;
  for (size_t at = css.find("url("); at != std::string::npos; at = css.find("url(", at + 1)) {
    const std::string url = css.substr(at + 4, css.find(')', at) - at - 4);
    EXPECT_NE(find_page_file("/" + url), nullptr) << url;
    ++fonts;
  }
  EXPECT_GE(fonts, 15);
}

TEST(Page, NothingComesFromElsewhereAndNothingIsInline) {
  const std::string html = text_of(*find_page_file("/"));
  EXPECT_EQ(html.find("://"), std::string::npos);
  EXPECT_EQ(html.find("<style"), std::string::npos);
  EXPECT_EQ(html.find(" style="), std::string::npos);
  EXPECT_EQ(html.find("<script>"), std::string::npos);
  std::ifstream file(XH_SOURCE_DIR "/web/security_policy.txt");
  std::string policy;
  ASSERT_TRUE(std::getline(file, policy));
  EXPECT_EQ(page_security_policy(), policy);
  EXPECT_EQ(page_security_policy().find("unsafe"), std::string_view::npos);
  EXPECT_NE(page_security_policy().find("default-src 'none'"), std::string_view::npos);
}

TEST(Page, CompressedCopiesHoldTheSameContent) {
  size_t total = 0;
  for (const PageFile& file : page_files()) {
    total += file.bytes.size() + file.gzip.size();
    EXPECT_FALSE(file.content_type.empty()) << file.path;
    EXPECT_TRUE(file.etag.size() > 2 && file.etag.front() == '"' && file.etag.back() == '"')
        << file.path;
    if (file.gzip.empty()) continue;
    ASSERT_GT(file.gzip.size(), 18u)
        << file.path;  // RFC 1952: 10 bytes of header, CRC-32 and length at the end
    EXPECT_EQ(file.gzip[0], 0x1f);
    EXPECT_EQ(file.gzip[1], 0x8b);
    EXPECT_EQ(little_endian(file.gzip.last(8)), crc32(file.bytes)) << file.path;
    EXPECT_EQ(little_endian(file.gzip.last(4)), file.bytes.size()) << file.path;
  }
  EXPECT_LT(total, size_t{2} << 20) << "the page must stay small";
}

TEST(Page, TableIsSortedForTheSearch) {
  const auto files = page_files();
  EXPECT_TRUE(std::is_sorted(files.begin(), files.end(),
                             [](const PageFile& a, const PageFile& b) { return a.path < b.path; }));
}

}  // namespace
}  // namespace xh
