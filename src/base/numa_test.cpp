#include "base/numa.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace xh {
namespace {

namespace fs = std::filesystem;

CpuSet cpus(std::initializer_list<size_t> list) {
  CpuSet out;
  for (const size_t cpu : list) out.set(cpu);
  return out;
}

TEST(CpuList, ReadsWhatTheKernelWrites) {
  EXPECT_EQ(parse_cpu_list(""), CpuSet());
  EXPECT_EQ(parse_cpu_list("0"), cpus({0}));
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11"), cpus({0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpu_list("5-5,1"), cpus({1, 5}));
  EXPECT_EQ(parse_cpu_list("1023-5000,7000"), cpus({1023}));
  EXPECT_EQ(parse_cpu_list("0-18446744073709551615"), CpuSet().set());
}

TEST(CpuList, RefusesAnythingElse) {
  using std::string_view_literals::operator""sv;
  for (const auto text : {","sv,
                          "0,"sv,
                          ",0"sv,
                          "0,,1"sv,
                          "-"sv,
                          "-1"sv,
                          "1-"sv,
                          "3-1"sv,
                          "1-2-3"sv,
                          "0 1"sv,
                          " 0"sv,
                          "0 "sv,
                          "0\n"sv,
                          "0-3:1/2"sv,
                          "x"sv,
                          "0x1"sv,
                          "+1"sv,
                          "1.5"sv,
                          "all"sv,
                          "0\0"sv,
                          "\xff"sv,
                          "18446744073709551616"sv,
                          "0-99999999999999999999"sv,
                          "99999999999999999999999-1"sv})
    EXPECT_FALSE(parse_cpu_list(text)) << text;
}

class MemoryNodes : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/xh_numa_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    tree_ = pattern;
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(tree_, ignored);
  }
  void put(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(tree_ + "/" + path).parent_path());
    std::ofstream(tree_ + "/" + path) << text;
  }
  void node(int id, const std::string& list) const {
    put("node/node" + std::to_string(id) + "/cpulist", list + "\n");
  }
  void siblings(int cpu, const std::string& list) const {
    put("cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list", list + "\n");
  }

  // Each node's id and cores, with its CPUs.
  struct Seen {
    int32_t id, cores;
    CpuSet cpus;
    bool operator==(const Seen&) const = default;
  };
  std::vector<Seen> read(const CpuSet& usable) const {
    std::vector<Seen> out;
    for (const auto& n : read_memory_nodes(tree_, usable)) out.push_back({n.id, n.cores, n.cpus});
    return out;
  }
  std::vector<Seen> one(const CpuSet& usable) const {
    return {{0, static_cast<int32_t>(usable.count()), usable}};
  }

  std::string tree_;
};

TEST_F(MemoryNodes, TheThirdLevelCacheIsSharedOut) {
  EXPECT_EQ(third_level_cache_per_cpu(tree_), 0u);
  const std::string cache = "cpu/cpu0/cache/index3/";
  put(cache + "level", "3\n");
  put(cache + "size", "32768K\n");
  EXPECT_EQ(third_level_cache_per_cpu(tree_), 0u);  // nobody shares it
  put(cache + "shared_cpu_list", "0-3,8-11\n");
  EXPECT_EQ(third_level_cache_per_cpu(tree_), 4u << 20);
  for (const char* size : {"", "K", "32768", "32768M", "-1K", "36893488147419103232K"}) {
    put(cache + "size", size);
    EXPECT_EQ(third_level_cache_per_cpu(tree_), 0u) << size;
  }
}

TEST_F(MemoryNodes, TwoNodesWithTwoThreadsACore) {
  put("node/online", "0-1\n");
  node(0, "0-1,4-5");
  node(1, "2-3,6-7");
  for (int cpu = 0; cpu < 8; ++cpu)
    siblings(cpu, std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4));
  const CpuSet all = cpus({0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(read(all), (std::vector<Seen>{{0, 2, cpus({0, 1, 4, 5})}, {1, 2, cpus({2, 3, 6, 7})}}));
  EXPECT_EQ(physical_cores(read_memory_nodes(tree_, all)), 4);
  // Cut to the affinity mask.
  EXPECT_EQ(read(cpus({0, 4, 6})), (std::vector<Seen>{{0, 1, cpus({0, 4})}, {1, 1, cpus({6})}}));
  EXPECT_EQ(read(cpus({2, 3})), (std::vector<Seen>{{1, 2, cpus({2, 3})}}));
}

TEST_F(MemoryNodes, HolesAndNodesOfMemoryAlone) {
  put("node/online", "0,3-4,9\n");
  node(0, "0-1");  // CPU 1 is offline: in nobody's mask
  node(3, "");
  node(4, "64-65");
  node(9, "512");  // has CPUs and no memory: the kernel takes the nearest that has
  EXPECT_EQ(read(cpus({0, 64, 65, 512})),
            (std::vector<Seen>{{0, 1, cpus({0})}, {4, 2, cpus({64, 65})}, {9, 1, cpus({512})}}));
}

TEST_F(MemoryNodes, IsOneWhereTheTreeCannotBeBelieved) {
  const CpuSet all = cpus({0, 1, 2, 3});
  EXPECT_EQ(read(all), one(all));  // nothing there
  put("node/online", "0-1\n");
  EXPECT_EQ(read(all), one(all));
  node(0, "0-1");
  EXPECT_EQ(read(all), one(all));  // nobody has 2 and 3
  node(1, "1-3");
  EXPECT_EQ(read(all), one(all));  // both have 1
  node(1, "2-3 and more");
  EXPECT_EQ(read(all), one(all));
  node(1, std::string(1 << 20, '2'));
  EXPECT_EQ(read(all), one(all));
  node(1, "2-3");
  EXPECT_EQ(read(all).size(), 2u);
  put("node/online", "zero\n");
  EXPECT_EQ(read(all), one(all));
  put("node/online", "0-99999999\n");  // those that are not there have no CPUs
  EXPECT_EQ(read(all).size(), 2u);
}

TEST(ThisMachine, HasNodesAndCores) {
  auto nodes = memory_nodes();
  ASSERT_TRUE(nodes && !nodes->empty());
  EXPECT_GE(physical_cores(*nodes), 1);
  ::setenv("XIAOHU_NUMA", "off", 1);
  const auto off = memory_nodes();
  ::unsetenv("XIAOHU_NUMA");
  ASSERT_EQ(off->size(), 1u);
  EXPECT_EQ(physical_cores(*off), physical_cores(*nodes));
}

TEST(Placement, KeepsWhatIsThereAndForgivesNodesThatAreNot) {
  const size_t bytes = 1 << 20;
  void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(p, MAP_FAILED);
  auto* data = static_cast<std::byte*>(p);
  data[5000] = std::byte{7};
  const int32_t nodes[] = {0, 1022};
  for (const int32_t node : {0, 1, 1023, 5000, -1}) prefer_node({data + 4999, 70000}, node);
  interleave({data, bytes}, nodes);
  interleave({data, bytes}, {});
  prefer_node({}, 0);
  EXPECT_EQ(data[5000], std::byte{7});
  EXPECT_EQ(data[bytes - 1], std::byte{0});
  ::munmap(p, bytes);
}

}  // namespace
}  // namespace xh
