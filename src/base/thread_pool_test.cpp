#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <vector>

namespace xh {
namespace {

TEST(ThreadPool, RunsEveryThreadOnce) {
  for (int32_t n : {1, 2, 3, 7}) {
    ThreadPool pool(n);
    std::vector<int> calls(static_cast<size_t>(n));
    for (int round = 0; round < 200; ++round) {
      pool.run([&](int32_t thread) { ++calls[static_cast<size_t>(thread)]; });
      if (round == 100)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));  // workers sleep
    }
    for (int count : calls) EXPECT_EQ(count, 200);
  }
}

TEST(ThreadPool, BarrierMakesWritesVisible) {
  ThreadPool pool(4);
  std::vector<int> cell(4);
  std::vector<int> bad(4);
  for (int round = 1; round <= 100; ++round) {
    pool.run([&](int32_t thread) {
      for (int phase = 0; phase < 3; ++phase) {
        cell[static_cast<size_t>(thread)] = round * 3 + phase;
        pool.barrier();
        if (cell[static_cast<size_t>((thread + 1) % 4)] != round * 3 + phase)
          ++bad[static_cast<size_t>(thread)];
        pool.barrier();
      }
    });
  }
  EXPECT_EQ(bad, std::vector<int>(4));
}

TEST(ThreadPool, SharesCoverAllItems) {
  for (int64_t n : {0, 1, 5, 64}) {
    int64_t next = 0;
    for (int32_t i = 0; i < 3; ++i) {
      Share share = share_of(n, i, 3);
      EXPECT_EQ(share.begin, next);
      next = share.end;
    }
    EXPECT_EQ(next, n);
  }
}

std::vector<MemoryNode> nodes_of(std::initializer_list<int32_t> cores) {
  std::vector<MemoryNode> nodes;
  for (const int32_t n : cores)
    nodes.push_back({static_cast<int32_t>(nodes.size()) * 2, CpuSet().set(), n});
  return nodes;
}

using Teams = std::vector<std::vector<int32_t>>;  // node, first thread, threads
Teams teams_of(int32_t threads, std::initializer_list<int32_t> cores) {
  ThreadPool pool(threads, nodes_of(cores));
  Teams out;
  for (const auto& team : pool.teams()) out.push_back({team.node.id, team.first, team.count});
  return out;
}

TEST(ThreadPool, DealsThreadsToNodesByTheirCores) {
  EXPECT_EQ(teams_of(4, {2, 2}), (Teams{{0, 0, 2}, {2, 2, 2}}));
  EXPECT_EQ(teams_of(8, {2, 2}), (Teams{{0, 0, 4}, {2, 4, 4}}));
  EXPECT_EQ(teams_of(3, {2, 2}), (Teams{{0, 0, 2}, {2, 2, 1}}));
  EXPECT_EQ(teams_of(2, {2, 2}), (Teams{{0, 0, 1}, {2, 1, 1}}));
  EXPECT_EQ(teams_of(1, {2, 2}), (Teams{{0, 0, 1}}));
  EXPECT_EQ(teams_of(8, {6, 2}), (Teams{{0, 0, 6}, {2, 6, 2}}));
  EXPECT_EQ(teams_of(2, {6, 1, 6}), (Teams{{0, 0, 1}, {2, 1, 1}}));
  EXPECT_EQ(teams_of(5, {1, 3, 1}), (Teams{{0, 0, 1}, {2, 1, 3}, {4, 4, 1}}));
  EXPECT_EQ(teams_of(3, {}).size(), 1u);
  EXPECT_EQ(teams_of(3, {4}).size(), 1u);
}

TEST(ThreadPool, TeamsCoverThreadsAndItems) {
  for (int32_t threads : {1, 2, 3, 5, 16}) {
    ThreadPool pool(threads, nodes_of({3, 1, 2}));
    int32_t thread = 0;
    int64_t item = 0;
    for (const auto& team : pool.teams()) {
      EXPECT_EQ(team.first, thread);
      EXPECT_EQ(team.share(37, threads).begin, item);
      item = team.share(37, threads).end;
      for (int32_t i = 0; i < team.count; ++i) EXPECT_EQ(pool.team_of(thread++).first, team.first);
    }
    EXPECT_EQ(thread, threads);
    EXPECT_EQ(item, 37);
  }
}

CpuSet mask_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  CpuSet cpus;
  for (size_t cpu = 0; cpu < cpus.size(); ++cpu) cpus[cpu] = CPU_ISSET(cpu, &set);
  return cpus;
}

// With one CPU both nodes have the same.
TEST(ThreadPool, BindsWorkersAndOnlyMovesTheCaller) {
  const CpuSet all = mask_of_this_thread();
  CpuSet first, last;
  for (size_t cpu = 0; cpu < all.size(); ++cpu) {
    if (all[cpu] && first.none()) first.set(cpu);
    if (all[cpu]) last = CpuSet().set(cpu);
  }
  const std::vector<MemoryNode> nodes = {{0, last, 1}, {1, first, 1}};
  ThreadPool pool(4, nodes);
  std::vector<CpuSet> masks(4);
  pool.run([&](int32_t thread) { masks[static_cast<size_t>(thread)] = mask_of_this_thread(); });
  EXPECT_EQ(masks, (std::vector{all, last, first, first}));
  EXPECT_EQ(mask_of_this_thread(), all);
}

}  // namespace
}  // namespace xh
