// The memory nodes of the machine (NUMA): which CPUs are near which memory, and the wishes to the
// kernel that follow from it. A wish that is not granted costs speed and nothing else.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace xh {

using CpuSet = std::bitset<1024>;

struct MemoryNode {
  int32_t id = 0;     // the kernel's number
  CpuSet cpus;        // those that this process may use; at least one
  int32_t cores = 1;  // physical ones among them
};

// The kernel's lists, like "0-3,8,10-11"; numbers beyond the set are left out. Null for anything
// else.
std::optional<CpuSet> parse_cpu_list(std::string_view text);

// Nodes with CPUs of `usable`, in the order of their ids, from a tree like /sys/devices/system. A
// tree that does not give every usable CPU to exactly one node is not believed: all CPUs are then
// one node.
std::vector<MemoryNode> read_memory_nodes(const std::string& tree, const CpuSet& usable);

// Of this machine, cut to the affinity mask of the calling thread; at least one.
// XIAOHU_NUMA=off: one with all CPUs. Fails on values other than on and off.
Result<std::vector<MemoryNode>> memory_nodes();

int32_t physical_cores(std::span<const MemoryNode> nodes);

// Bytes of the third-level cache for each CPU of those that share it, from such a tree; 0: there is
// none, or it is not known.
uint64_t third_level_cache_per_cpu(const std::string& tree = "/sys/devices/system");

// From now on the calling thread runs on these CPUs only.
void bind_thread(const CpuSet& cpus);
// The calling thread goes over to one of these CPUs and keeps its mask.
void visit(const CpuSet& cpus);

// Pages of the range shall lie on the node; those that lie elsewhere move there unless another
// process uses them too. `range` may begin and end inside a page.
void prefer_node(std::span<const std::byte> range, int32_t node);
// Pages of the range not yet touched are dealt out to the nodes in turn.
void interleave(std::span<const std::byte> range, std::span<const int32_t> nodes);

}  // namespace xh
