#include "compute/cpu/pack_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "compute/cpu/pack_digest.h"
#include "compute/cpu/pack_writer.h"
#include "compute/cpu/random_tensor_test.h"

namespace xh::cpu {
namespace {

namespace fs = std::filesystem;

// A folder with a "model file" of one tensor of every type (33 rows: a panel that is not full).
class PackCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/xh_pack_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
    uint32_t seed = 1;
    for (const DType type : kWeightTypes) tensors_.push_back(random_tensor(type, 33, 512, seed++));
    write_model();
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  void write_model() const {
    std::ofstream out(model(), std::ios::binary);
    for (const auto& t : tensors_)
      out.write(reinterpret_cast<const char*>(t.bytes.data()),
                static_cast<std::streamsize>(t.bytes.size()));
  }
  std::string model() const { return folder_ + "/m.gguf"; }
  std::string place() const { return folder_ + "/m.gguf.xhpack"; }
  PackCacheOptions options() const {
    PackCacheOptions o;
    o.sources = {{model(), FileStamp::of(model())}};
    o.places = {place()};
    o.min_bytes = 1;
    o.spare_bytes = 0;
    return o;
  }

  // One start: prepares every tensor; keeps them as a model would.
  struct Start {
    std::unique_ptr<PackCache> cache;
    std::vector<std::unique_ptr<PackedMatrix>> matrices;
  };
  Start start(PackCacheOptions options) { return start(std::move(options), pool_); }
  Start start(PackCacheOptions options, ThreadPool& pool) {
    Start s;
    s.cache = PackCache::open(std::move(options));
    EXPECT_TRUE(s.cache);
    for (size_t i = 0; i < tensors_.size(); ++i) {
      auto m = s.cache->prepare(tensors_[i].view, "t" + std::to_string(i), pool);
      EXPECT_TRUE(m) << m.error().to_string();
      s.matrices.push_back(std::move(*m));
    }
    s.cache->keep();
    return s;
  }
  Start start() { return start(options()); }
  void first_start() {
    auto s = start();
    EXPECT_EQ(s.cache->n_mapped(), 0u);
    ASSERT_TRUE(s.cache->wait_written());
  }

  // Bit for bit what packing without a cache gives.
  void expect_right(const Start& s, Layout layout = Layout::kInterleaved) {
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const auto fresh = PackedMatrix::pack(tensors_[i].view, "t", pool_, layout).value();
      ASSERT_EQ(s.matrices[i]->bytes(), fresh->bytes());
      ASSERT_EQ(s.matrices[i]->out(), 33);
      EXPECT_EQ(std::memcmp(s.matrices[i]->panel(0), fresh->panel(0), fresh->bytes()), 0)
          << dtype_name(tensors_[i].view.type);
    }
  }
  void flip(const std::string& path, std::streamoff at) {
    std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(at);
    const int c = f.get();
    f.seekp(at);
    f.put(static_cast<char>(c ^ 0x10));
  }
  void set_times(const std::string& path, int64_t seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  std::vector<std::string> names_in_folder() const {
    std::vector<std::string> names;
    for (const auto& e : fs::directory_iterator(folder_)) names.push_back(e.path().filename());
    std::ranges::sort(names);
    return names;
  }

  std::string folder_;
  std::vector<RandomTensor> tensors_;
  ThreadPool pool_{2};
};

TEST_F(PackCacheTest, SecondStartMapsEveryTypeBitForBit) {
  auto first = start();
  EXPECT_EQ(first.cache->n_mapped(), 0u);
  expect_right(first);
  ASSERT_TRUE(first.cache->wait_written());
  first.cache->adopt();  // the first process moves over to the file as well
  expect_right(first);
  auto second = start();
  EXPECT_EQ(second.cache->n_mapped(), tensors_.size());
  EXPECT_FALSE(second.cache->wait_written());  // nothing to write
  expect_right(second);
  EXPECT_EQ(names_in_folder(), (std::vector<std::string>{"m.gguf", "m.gguf.xhpack"}));
}

// Whether or not the kernel has such nodes.
TEST_F(PackCacheTest, MemoryNodesChangeNoBit) {
  const std::vector<MemoryNode> nodes = {{0, CpuSet().set(), 1}, {1, CpuSet().set(), 2}};
  ThreadPool pool(3, nodes);
  ASSERT_EQ(pool.teams().size(), 2u);
  auto first = start(options(), pool);
  expect_right(first);
  ASSERT_TRUE(first.cache->wait_written());
  first.cache->adopt();
  expect_right(first);
  auto second = start(options(), pool);
  EXPECT_EQ(second.cache->n_mapped(), tensors_.size());
  expect_right(second);
}

TEST_F(PackCacheTest, DeletedFileIsMadeAgain) {
  first_start();
  fs::remove(place());
  auto s = start();
  EXPECT_EQ(s.cache->n_mapped(), 0u);
  expect_right(s);
  EXPECT_TRUE(s.cache->wait_written());
  EXPECT_TRUE(fs::exists(place()));
}

TEST_F(PackCacheTest, AnyFlippedBitIsFoundAndRepaired) {
  first_start();
  const auto size = static_cast<std::streamoff>(fs::file_size(place()));
  const std::streamoff head = 48 + 10 * 58 + 6 * 59;  // names t0 … t15
  // Places all over the head and the contents (gaps between entries are free).
  std::vector<std::streamoff> places;
  for (std::streamoff at = 0; at < head; at += 23) places.push_back(at);
  for (std::streamoff at = 4096; at < size; at += size / 12) places.push_back(at);
  for (const auto at : places) {
    flip(place(), at);
    auto s = start();
    expect_right(s);
    const bool damaged = s.cache->n_mapped() < tensors_.size();
    EXPECT_EQ(s.cache->wait_written(), damaged);
    EXPECT_TRUE(damaged || at >= head) << at;
    if (damaged) {
      s.cache->adopt();
      expect_right(s);
      auto again = start();
      EXPECT_EQ(again.cache->n_mapped(), tensors_.size()) << at;
    }
  }
}

TEST_F(PackCacheTest, OneDamagedEntryIsPackedAloneAndTheFileRepaired) {
  first_start();
  const auto table =
      parse_pack(MappedFile::open(place())->bytes(), place());  // offsets only; bytes are gone
  ASSERT_TRUE(table);
  flip(place(), static_cast<std::streamoff>(table->entries[5].offset + 100));
  auto s = start();
  EXPECT_EQ(s.cache->n_mapped(), tensors_.size() - 1);
  expect_right(s);
  ASSERT_TRUE(s.cache->wait_written());
  s.cache->adopt();
  expect_right(s);
  EXPECT_EQ(start().cache->n_mapped(), tensors_.size());
}

TEST_F(PackCacheTest, TruncationAtAnyLengthIsFound) {
  first_start();
  const auto size = fs::file_size(place());
  for (uint64_t keep : {uint64_t{0}, uint64_t{7}, uint64_t{40}, uint64_t{47}, uint64_t{48},
                        uint64_t{500}, uint64_t{4096}, size / 2, size - 1}) {
    fs::resize_file(place(), keep);
    auto s = start();
    EXPECT_EQ(s.cache->n_mapped(), 0u);
    expect_right(s);
    EXPECT_TRUE(s.cache->wait_written()) << keep;
  }
}

TEST_F(PackCacheTest, ChangedModelIsPackedAnewEvenWithSizeAndTimeKept) {
  set_times(model(), 1'000'000);
  first_start();
  const auto before = FileStamp::of(model());
  tensors_[3] = random_tensor(tensors_[3].view.type, 33, 512, 99);
  write_model();
  set_times(model(), 1'000'000);
  EXPECT_EQ(FileStamp::of(model()).modified_ns, before.modified_ns);
  EXPECT_EQ(FileStamp::of(model()).bytes, before.bytes);
  auto s = start();
  EXPECT_EQ(s.cache->n_mapped(), tensors_.size() - 1);  // the digests of the others still hold
  expect_right(s);
  ASSERT_TRUE(s.cache->wait_written());
  EXPECT_EQ(start().cache->n_mapped(), tensors_.size());
}

TEST_F(PackCacheTest, TouchedOrCopiedModelIsKnownByItsDigests) {
  first_start();
  set_times(model(), 1'000'000);
  auto s = start();
  EXPECT_EQ(s.cache->n_mapped(), tensors_.size());
  expect_right(s);
  ASSERT_TRUE(s.cache->wait_written());  // with the new stamp
  auto next = start();
  EXPECT_FALSE(next.cache->wait_written());
}

TEST_F(PackCacheTest, FileOfAnotherModelIsNotUsed) {
  first_start();
  for (size_t i = 0; i < tensors_.size(); ++i)
    tensors_[i] = random_tensor(tensors_[i].view.type, 33, 512, 500 + static_cast<uint32_t>(i));
  write_model();
  auto s = start();
  EXPECT_EQ(s.cache->n_mapped(), 0u);
  expect_right(s);
}

TEST_F(PackCacheTest, ModelReplacedWhilePackingIsNotKept) {
  auto o = options();
  write_model();  // moves the change time on
  set_times(model(), 5);
  auto s = start(o);
  expect_right(s);
  EXPECT_FALSE(s.cache->wait_written());
  EXPECT_FALSE(fs::exists(place()));
}

TEST_F(PackCacheTest, FileOfAnotherLayoutIsNotUsed) {
  first_start();
  auto o = options();
  o.layout = Layout::kRowWise;
  {
    auto s = start(o);
    EXPECT_EQ(s.cache->n_mapped(), 0u);
    expect_right(s, Layout::kRowWise);
    ASSERT_TRUE(s.cache->wait_written());
  }
  auto again = start(o);
  EXPECT_EQ(again.cache->n_mapped(), tensors_.size());
  expect_right(again, Layout::kRowWise);
  auto back = start();
  EXPECT_EQ(back.cache->n_mapped(), 0u);
  expect_right(back);
}

TEST_F(PackCacheTest, WhereNothingCanBeWrittenTheNextPlaceServes) {
  auto o = options();
  std::ofstream(folder_ + "/plain") << "x";
  o.places = {folder_ + "/plain/m.xhpack", folder_ + "/new/folder/m.xhpack"};
  {
    auto s = start(o);
    EXPECT_TRUE(s.cache->wait_written());
  }
  EXPECT_EQ(start(o).cache->n_mapped(), tensors_.size());
  o.places = {folder_ + "/plain/m.xhpack"};
  auto s = start(o);
  expect_right(s);
  EXPECT_FALSE(s.cache->wait_written());
}

TEST_F(PackCacheTest, FullDiskLeavesNothingBehind) {
  auto o = options();
  o.spare_bytes = uint64_t{1} << 60;
  auto s = start(o);
  expect_right(s);
  EXPECT_FALSE(s.cache->wait_written());
  EXPECT_EQ(names_in_folder(), (std::vector<std::string>{"m.gguf"}));
}

TEST_F(PackCacheTest, StrangeThingsInThePlaceDoNoHarm) {
  ASSERT_EQ(::mkfifo(place().c_str(), 0600), 0);  // would hang a plain open
  EXPECT_TRUE(start().cache->wait_written());     // replaced
  fs::remove(place());
  fs::create_directory(place());
  auto s = start();
  expect_right(s);
  EXPECT_FALSE(s.cache->wait_written());
  EXPECT_TRUE(fs::is_directory(place()));
  // A link in place of the part must not lead us to another file.
  fs::remove(place());
  std::ofstream(folder_ + "/precious") << "keep me";
  fs::create_symlink(folder_ + "/precious", place() + ".part");
  EXPECT_FALSE(start().cache->wait_written());
  EXPECT_EQ(fs::file_size(folder_ + "/precious"), 7u);
}

TEST_F(PackCacheTest, ManyStartsAtOnceAgree) {
  std::vector<std::jthread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&] {
      ThreadPool pool(1);
      for (int round = 0; round < 4; ++round) {
        auto cache = PackCache::open(options());
        std::vector<std::unique_ptr<PackedMatrix>> matrices;
        for (size_t t = 0; t < tensors_.size(); ++t)
          matrices.push_back(
              cache->prepare(tensors_[t].view, "t" + std::to_string(t), pool).value());
        cache->keep();
        cache->wait_written();
        cache->adopt();
        for (size_t t = 0; t < tensors_.size(); ++t) {
          const auto fresh = PackedMatrix::pack(tensors_[t].view, "t", pool).value();
          wrong += std::memcmp(matrices[t]->panel(0), fresh->panel(0), fresh->bytes()) != 0;
        }
        if (round == 1) fs::remove(place());
      }
    });
  threads.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(start().cache->n_mapped(), tensors_.size());
}

TEST_F(PackCacheTest, EndOfTheProcessWaitsForTheWriterButNotForLong) {
  { auto s = start(); }
  EXPECT_TRUE(fs::exists(place()));
  fs::remove(place());
  auto o = options();
  o.finish_seconds = 0;
  { auto s = start(o); }  // stopped, or just done; never half a file under the final name
  EXPECT_FALSE(fs::exists(place() + ".part"));
  EXPECT_TRUE(!fs::exists(place()) || parse_pack(MappedFile::open(place())->bytes(), "p"));
}

TEST_F(PackCacheTest, EnvironmentSaysWhere) {
  const std::vector<WeightFile> sources = {{model(), FileStamp::of(model())}};
  ::setenv("XIAOHU_PACK_CACHE", "off", 1);
  EXPECT_TRUE(pack_cache_options(sources).places.empty());
  EXPECT_FALSE(PackCache::open(pack_cache_options(sources)));
  ::setenv("XIAOHU_PACK_CACHE", (folder_ + "/packs").c_str(), 1);
  ASSERT_EQ(pack_cache_options(sources).places.size(), 1u);
  EXPECT_TRUE(pack_cache_options(sources).places[0].starts_with(folder_ + "/packs/m.gguf-"));
  ::unsetenv("XIAOHU_PACK_CACHE");
  EXPECT_EQ(pack_cache_options(sources).places.at(0),
            fs::canonical(place().substr(0, place().size() - 7)).string() + ".xhpack");
  EXPECT_FALSE(PackCache::open(pack_cache_options(sources)));  // too small to be worth a file
  EXPECT_TRUE(pack_cache_options({}).places.empty());
}

// It writes whole huge pages, wherever entries begin and end.
TEST_F(PackCacheTest, WriterPutsEveryByteInItsPlace) {
  const std::string path = folder_ + "/written";
  std::mt19937_64 random(3);
  std::vector<std::byte> want(9'000'000);
  {
    auto writer = PackWriter::create(path, want.size(), folder_);
    ASSERT_TRUE(writer) << writer.error().to_string();
    const uint64_t sizes[] = {1, 4096, 2'000'000, 4096, 3'000'000, 1, 2'500'000};
    uint64_t end = 1;
    for (const uint64_t size : sizes) {
      const uint64_t at = (end + 4095) / 4096 * 4096;
      end = at + size;
      for (uint64_t i = at; i < end; ++i) want[i] = static_cast<std::byte>(random());
      ASSERT_TRUE(writer->put(std::span(want).subspan(at, size), at, {}));
    }
    want.resize(end);
    for (int i = 0; i < 100; ++i) want[static_cast<size_t>(i)] = std::byte{7};
    ASSERT_TRUE(writer->publish(std::span(want).first(100)));
  }
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file);
  EXPECT_TRUE(std::ranges::equal(file->bytes(), want));
}

TEST(PackDigest, SeesEveryByteAndTheLengthAndNotTheThreads) {
  std::vector<std::byte> bytes(700'001);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31);
  const uint64_t whole = pack_digest(bytes);
  ThreadPool pool(3);
  EXPECT_EQ(pack_digest(bytes, &pool), whole);
  for (size_t at :
       {size_t{0}, size_t{63}, size_t{64}, size_t{262143}, size_t{262144}, bytes.size() - 1}) {
    bytes[at] ^= std::byte{1};
    EXPECT_NE(pack_digest(bytes), whole) << at;
    bytes[at] ^= std::byte{1};
  }
  bytes.push_back(std::byte{0});
  EXPECT_NE(pack_digest(bytes), whole);
}

TEST(PackFile, RefusesTablesThatLieThoughTheirDigestHolds) {
  PackTable table{7,
                  {{"a", DType::kF32, 16, 1, 0, 64, 1, 2}, {"b", DType::kF16, 16, 2, 0, 64, 3, 4}}};
  const uint64_t size = place_entries(table);
  auto parse = [&](const PackTable& t, uint64_t file_bytes, uint64_t real) {
    std::string bytes = pack_head(t, file_bytes);
    bytes.resize(std::max<uint64_t>(real, bytes.size()));
    return parse_pack(std::as_bytes(std::span(bytes)), "p").has_value();
  };
  EXPECT_TRUE(parse(table, size, size));
  EXPECT_FALSE(parse(table, size + 1, size));
  EXPECT_FALSE(parse(table, size, size + 1));
  auto with = [&](auto change) {
    PackTable t = table;
    change(t.entries[1]);
    return parse(t, size, size);
  };
  EXPECT_FALSE(with([](PackEntry& e) { e.offset += 64; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.offset = 0; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.offset -= 4096; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.offset = ~uint64_t{4095}; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.bytes += 1; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.bytes = ~uint64_t{0}; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.out = 0; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.out = INT64_MAX; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.name = "a"; }));
  EXPECT_FALSE(with([](PackEntry& e) { e.name.assign(600, 'n'); }));
}

// A packed layout is a file format: a change of it needs a new number.
TEST(PackFile, LayoutsAreTheOnesOfTheirVersions) {
  ThreadPool pool(1);
  auto digest = [&](Layout layout) {
    uint64_t all = 0;
    for (const DType type : kWeightTypes) {
      auto t = random_tensor(type, 33, 512, 7);
      uint32_t random = 7;  // the same on every machine
      for (auto& b : t.bytes)
        b = static_cast<std::byte>((random = random * 1664525 + 1013904223) >> 24);
      const auto m = PackedMatrix::pack(t.view, "t", pool, layout).value();
      all = all * 31 + pack_digest({reinterpret_cast<const std::byte*>(m->panel(0)), m->bytes()});
    }
    return all;
  };
  static_assert(pack_version(Layout::kInterleaved) == 3 && pack_version(Layout::kRowWise) == 4);
  const char* what = "raise pack_version() when the layout changed, then write the new value here";
  EXPECT_EQ(digest(Layout::kInterleaved), 3379862026153733991u) << what;
  EXPECT_EQ(digest(Layout::kRowWise), 13458545201086033545u) << what;
}

}  // namespace
}  // namespace xh::cpu
