#include "engine/disk/kv_disk.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "engine/fake_model.h"

namespace xh {
namespace {

namespace fs = std::filesystem;
using Tokens = std::vector<TokenId>;

class KvDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "xh_kv_disk_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    disk_.reset();
    fs::remove_all(folder_);
  }

  Result<void> open(uint64_t budget = 1 << 20, std::string owner = "model") {
    disk_.reset();
    KvDiskOptions options;
    options.folder = folder_ + "/kv";
    options.budget_bytes = budget;
    options.owner = std::move(owner);
    options.min_pages = 2;
    options.spare_bytes = 0;
    auto made = KvDisk::open(options, store_, [] {});
    if (!made) return std::unexpected(made.error());
    disk_ = std::move(*made);
    return {};
  }

  // Page i of the store holds what a model would have computed for tokens [32 i, 32 i + 32).
  std::vector<PageId> fill(const Tokens& tokens, PageId first = 0) {
    std::vector<PageId> pages;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto page = static_cast<PageId>(first + static_cast<PageId>(i / kPageTokens));
      store_.slot(page, static_cast<int32_t>(i % kPageTokens)) = tokens[i];
      if (i % kPageTokens == 0) pages.push_back(page);
    }
    return pages;
  }
  void save(const std::string& tenant, const Tokens& tokens) {
    disk_->keep(tenant, tokens, fill(tokens), false);
    disk_->wait_idle();
  }
  // How many pages come back right into pages 100, 101, …; -1: a wrong one.
  int32_t restore(const std::string& tenant, const Tokens& tokens, int32_t depth = 0) {
    const auto found = disk_->find(tenant, tokens, depth);
    if (found.n_pages() == 0) return 0;
    std::vector<PageId> pages;
    for (int32_t i = 0; i < found.n_pages(); ++i) pages.push_back(100 + i);
    disk_->fetch(7, found, pages);
    disk_->wait_idle();
    const auto fetched = disk_->take_fetched();
    if (fetched.size() != 1 || fetched[0].id != 7) return -1;
    for (int32_t i = 0; i < fetched[0].n_pages * kPageTokens; ++i)
      if (store_.slot(100 + i / kPageTokens, i % kPageTokens) !=
          found.tokens[static_cast<size_t>(i)])
        return -1;
    return fetched[0].n_pages;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(folder_ + "/kv"))
      if (entry.path().extension() == ".xhkv") out.push_back(entry.path());
    std::ranges::sort(out);
    return out;
  }

  static Tokens some_tokens(size_t pages, unsigned seed) {
    std::mt19937 rng(seed);
    Tokens out(pages * kPageTokens);
    for (auto& t : out) t = static_cast<TokenId>(rng() % 50000);
    return out;
  }

  std::string folder_;
  fake::Store store_{200};
  std::unique_ptr<KvDisk> disk_;
};

TEST_F(KvDiskTest, ComesBackAlsoAfterARestart) {
  ASSERT_TRUE(open());
  const Tokens tokens = some_tokens(20, 1);
  save("a", tokens);
  EXPECT_EQ(files().size(), 3u);  // 8 + 8 + 4 pages
  EXPECT_EQ(restore("a", tokens), 20);
  EXPECT_EQ(restore("a", tokens, 5), 15);
  ASSERT_TRUE(open());
  EXPECT_EQ(restore("a", tokens), 20);
  EXPECT_EQ(disk_->stats().files_refused, 0u);
  struct stat info {};
  ASSERT_EQ(::stat((folder_ + "/kv/key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(files()[0].c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(KvDiskTest, OnlyWhatIsNewIsWritten) {
  ASSERT_TRUE(open());
  Tokens tokens = some_tokens(10, 1);
  save("a", tokens);
  save("a", tokens);
  EXPECT_EQ(disk_->stats().pages_written, 10u);
  const Tokens more = some_tokens(3, 2);
  Tokens longer(tokens.begin(), tokens.begin() + 9 * kPageTokens);  // leaves within a run
  longer.insert(longer.end(), more.begin(), more.end());
  save("a", longer);
  EXPECT_EQ(disk_->stats().pages_written, 13u);
  EXPECT_EQ(restore("a", longer), 12);
  EXPECT_EQ(restore("a", tokens), 10);
  save("a", some_tokens(1, 3));  // too short to be worth it
  EXPECT_EQ(disk_->stats().pages_written, 13u);
}

TEST_F(KvDiskTest, APageThatMatchesInPartComesAlong) {
  ASSERT_TRUE(open());
  const Tokens tokens = some_tokens(4, 1);
  save("a", tokens);
  Tokens other = tokens;
  other[2 * kPageTokens + 20] += 1;
  EXPECT_EQ(restore("a", other), 3);
  other[2 * kPageTokens + 3] += 1;  // hardly anything in common
  EXPECT_EQ(restore("a", other), 2);
}

TEST_F(KvDiskTest, TenantsModelsAndKeysAreApart) {
  ASSERT_TRUE(open());
  const Tokens tokens = some_tokens(8, 1);
  save("a", tokens);
  EXPECT_EQ(restore("b", tokens), 0);
  EXPECT_EQ(restore("", tokens), 0);
  ASSERT_TRUE(open(1 << 20, "another model"));
  EXPECT_EQ(restore("a", tokens), 0);
  EXPECT_EQ(disk_->stats().files_refused, 1u);
  EXPECT_TRUE(files().empty());
  save("a", tokens);
  disk_.reset();
  fs::remove(folder_ + "/kv/key");
  ASSERT_TRUE(open(1 << 20, "another model"));
  EXPECT_EQ(restore("a", tokens), 0);
  EXPECT_TRUE(files().empty());
}

TEST_F(KvDiskTest, TheLeastRecentlyUsedGoesForTheBudget) {
  const uint64_t file = run_page_offset(store_.page_bytes(), kRunPages);
  ASSERT_TRUE(open(4 * file));
  const Tokens a = some_tokens(16, 1), b = some_tokens(16, 2), c = some_tokens(16, 3);
  save("t", a);
  save("t", b);
  EXPECT_EQ(restore("t", a), 16);
  save("t", c);
  EXPECT_LE(disk_->stats().used_bytes, 4 * file);
  EXPECT_EQ(restore("t", a), 16);
  EXPECT_EQ(restore("t", b), 0);
  EXPECT_EQ(restore("t", c), 16);
  // The order of use survives: c was used last. A smaller budget is kept at once.
  ASSERT_TRUE(open(2 * file));
  EXPECT_LE(disk_->stats().used_bytes, 2 * file);
  EXPECT_EQ(restore("t", c), 16);
}

TEST_F(KvDiskTest, DamagedFilesAreDeletedAndNeverUsed) {
  std::mt19937 rng(5);
  const Tokens tokens = some_tokens(3, 1);
  ASSERT_TRUE(open());
  save("a", tokens);
  disk_.reset();
  const fs::path path = files().at(0);
  std::ifstream in(path, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  for (int i = 0; i < 120; ++i) {
    std::string damaged = whole;
    if (i % 3 == 0)
      damaged.resize(rng() % whole.size());
    else
      damaged[rng() % whole.size()] ^= static_cast<char>(1 << rng() % 8);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged;
    ASSERT_TRUE(open());
    const int32_t n = restore("a", tokens);
    ASSERT_TRUE(n >= 0 && n < 3) << i;
    ASSERT_EQ(disk_->stats().files_refused, 1u) << i;
    ASSERT_TRUE(files().empty()) << i;
  }
}

TEST_F(KvDiskTest, ForeignThingsInTheFolder) {
  ASSERT_TRUE(open());
  save("a", some_tokens(4, 1));
  const std::string kv = folder_ + "/kv/";
  disk_.reset();
  std::ofstream(kv + "00.xhkv") << "nonsense";
  std::ofstream(kv + "left.xhkv.part") << "half";
  std::ofstream(kv + "notes.txt") << "mine";
  fs::create_directory(kv + "folder.xhkv");
  fs::create_symlink("/etc/passwd", kv + "link.xhkv");
  fs::copy(files().at(0) == kv + "00.xhkv" ? files().at(1) : files().at(0), kv + "copy.xhkv");
  ::mkfifo((kv + "pipe.xhkv").c_str(), 0600);
  ASSERT_TRUE(open());
  EXPECT_FALSE(fs::exists(kv + "00.xhkv"));
  EXPECT_FALSE(fs::exists(kv + "left.xhkv.part"));
  EXPECT_FALSE(fs::is_symlink(kv + "link.xhkv"));
  EXPECT_FALSE(fs::exists(kv + "pipe.xhkv"));
  EXPECT_FALSE(fs::exists(kv + "copy.xhkv"));
  EXPECT_TRUE(fs::exists(kv + "notes.txt"));
  EXPECT_EQ(restore("a", some_tokens(4, 1)), 4);
}

TEST_F(KvDiskTest, OneProcessAtATime) {
  ASSERT_TRUE(open());
  KvDiskOptions options;
  options.folder = folder_ + "/kv";
  const auto second = KvDisk::open(options, store_, [] {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
}

TEST_F(KvDiskTest, PagesThatLeaveMemoryAreNotReadAnyMore) {
  ASSERT_TRUE(open());
  const Tokens tokens = some_tokens(64, 1);
  const auto pages = fill(tokens);
  disk_->keep("a", tokens, pages, false);
  // From the end, as the tree evicts; each is used for something else at once.
  for (size_t i = pages.size(); i-- > 0;) {
    disk_->page_leaves(pages[i]);
    for (int32_t k = 0; k < kPageTokens; ++k) store_.slot(pages[i], k) = -77;
  }
  disk_->wait_idle();
  const int32_t n = restore("a", tokens);
  EXPECT_GE(n, 0);
  EXPECT_LE(n, 64);
  EXPECT_EQ(disk_->stats().pages_written, static_cast<uint64_t>(n));
}

TEST_F(KvDiskTest, ForgetsWhatWasDamagedInMemory) {
  ASSERT_TRUE(open());
  const Tokens a = some_tokens(20, 1), b = some_tokens(20, 2);
  save("t", a);
  save("t", b);
  disk_->forget("t", a);
  EXPECT_EQ(restore("t", a), 0);
  EXPECT_EQ(restore("t", b), 20);
}

TEST_F(KvDiskTest, AFullOrMissingDiskCostsALogLine) {
  ASSERT_TRUE(open());
  fs::permissions(folder_ + "/kv", fs::perms::none);
  fs::remove_all(folder_ + "/kv");
  save("a", some_tokens(8, 1));
  EXPECT_EQ(disk_->stats().write_failures, 1u);
  EXPECT_EQ(disk_->stats().used_bytes, 0u);
  EXPECT_EQ(restore("a", some_tokens(8, 1)), 0);
}

}  // namespace
}  // namespace xh
