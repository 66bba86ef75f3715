#include "base/numa.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>

#include "base/log.h"

namespace xh {
namespace {

static_assert(std::bitset<CPU_SETSIZE>().size() == CpuSet().size());

// Empty when there is none; what is longer than any list of the kernel is cut off.
std::string first_line(const std::string& path) {
  std::string text(16 << 10, '\0');
  std::ifstream file(path);
  file.getline(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(std::strlen(text.c_str()));
  return text;
}

int32_t cores_among(const std::string& tree, const CpuSet& cpus) {
  std::set<std::string> cores;
  for (size_t cpu = 0; cpu < cpus.size(); ++cpu) {
    if (!cpus[cpu]) continue;
    const std::string name = "cpu" + std::to_string(cpu);
    const auto siblings = first_line(tree + "/cpu/" + name + "/topology/thread_siblings_list");
    cores.insert(siblings.empty() ? name : siblings);
  }
  return std::max(1, static_cast<int32_t>(cores.size()));
}

cpu_set_t kernel_set(const CpuSet& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (size_t cpu = 0; cpu < cpus.size(); ++cpu)
    if (cpus[cpu]) CPU_SET(cpu, &set);
  return set;
}

std::optional<CpuSet> affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {};
  CpuSet cpus;
  for (size_t cpu = 0; cpu < cpus.size(); ++cpu) cpus[cpu] = CPU_ISSET(cpu, &set);
  return cpus;
}

void set_policy(std::span<const std::byte> range, int mode, std::span<const int32_t> nodes,
                unsigned flags) {
  constexpr size_t kWord = 8 * sizeof(unsigned long);
  unsigned long mask[CpuSet().size() / kWord] = {};
  for (const int32_t node : nodes) {
    const auto bit = static_cast<size_t>(node);
    if (bit < CpuSet().size()) mask[bit / kWord] |= 1ul << bit % kWord;
  }
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto at = reinterpret_cast<uintptr_t>(range.data());
  const uintptr_t begin = at / page * page, bytes = at + range.size() - begin;
  // The kernel takes one off the number of bits.
  if (syscall(SYS_mbind, begin, bytes, mode, mask, CpuSet().size() + 1, flags) < 0)
    log::debug("{} bytes stay where they are: {}", bytes, std::strerror(errno));
}

}  // namespace

std::optional<CpuSet> parse_cpu_list(std::string_view text) {
  CpuSet cpus;
  const char *at = text.data(), *const end = at + text.size();
  auto number = [&](uint64_t& n) {
    const auto [after, error] = std::from_chars(at, end, n);
    at = after;
    return error == std::errc();
  };
  while (at != end) {
    uint64_t first = 0;
    if (!number(first)) return {};
    uint64_t last = first;
    if (at != end && *at == '-' && (++at, !number(last))) return {};
    if (last < first) return {};
    for (uint64_t i = first; i <= std::min<uint64_t>(last, cpus.size() - 1); ++i) cpus.set(i);
    if (at == end) break;
    if (*at++ != ',' || at == end) return {};
  }
  return cpus;
}

std::vector<MemoryNode> read_memory_nodes(const std::string& tree, const CpuSet& usable) {
  std::vector<MemoryNode> nodes;
  CpuSet left = usable;
  const CpuSet online = parse_cpu_list(first_line(tree + "/node/online")).value_or(CpuSet());
  for (size_t id = 0; id < online.size(); ++id) {
    if (!online[id]) continue;
    const auto list = first_line(tree + "/node/node" + std::to_string(id) + "/cpulist");
    const CpuSet cpus = parse_cpu_list(list).value_or(CpuSet()) & usable;
    if (cpus.none()) continue;  // memory alone
    const bool twice = (cpus & ~left).any();
    left = twice ? usable : left & ~cpus;
    if (twice) break;
    nodes.push_back({static_cast<int32_t>(id), cpus, cores_among(tree, cpus)});
  }
  if (nodes.empty() || left.any()) return {{0, usable, cores_among(tree, usable)}};
  return nodes;
}

Result<std::vector<MemoryNode>> memory_nodes() {
  const char* value = std::getenv("XIAOHU_NUMA");
  const std::string_view chosen = value ? value : "";
  if (!chosen.empty() && chosen != "on" && chosen != "off")
    return fail(ErrorCode::kInvalidArgument, "'" + std::string(chosen) + "' is neither on nor off",
                "XIAOHU_NUMA", "unset it, or use off to leave placement to the kernel");
  const auto usable = affinity();
  if (!usable) {  // more CPUs than the set holds
    const int32_t n = std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
    return std::vector<MemoryNode>{{0, CpuSet().set(), n}};
  }
  const std::string tree = "/sys/devices/system";
  if (chosen == "off") return std::vector<MemoryNode>{{0, *usable, cores_among(tree, *usable)}};
  return read_memory_nodes(tree, *usable);
}

uint64_t third_level_cache_per_cpu(const std::string& tree) {
  const std::string cache = tree + "/cpu/cpu0/cache/index3/";
  const std::string size = first_line(cache + "size");  // like 32768K
  uint64_t kib = 0;
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), kib);
  const auto sharers = parse_cpu_list(first_line(cache + "shared_cpu_list"));
  if (first_line(cache + "level") != "3" || error != std::errc() || std::string_view(end) != "K" ||
      kib > UINT64_MAX >> 10 || !sharers || sharers->none())
    return 0;
  return (kib << 10) / sharers->count();
}

int32_t physical_cores(std::span<const MemoryNode> nodes) {
  int32_t cores = 0;
  for (const auto& node : nodes) cores += node.cores;
  return cores;
}

void bind_thread(const CpuSet& cpus) {
  const cpu_set_t set = kernel_set(cpus);
  if (sched_setaffinity(0, sizeof set, &set) != 0)
    log::debug("a thread stays unbound: {}", std::strerror(errno));
}

void visit(const CpuSet& cpus) {
  const int cpu = sched_getcpu();
  if (cpu >= 0 && static_cast<size_t>(cpu) < cpus.size() && cpus[static_cast<size_t>(cpu)]) return;
  const auto own = affinity();
  if (!own || (*own & cpus).none()) return;
  bind_thread(*own & cpus);
  bind_thread(*own);
}

void prefer_node(std::span<const std::byte> range, int32_t node) {
  set_policy(range, MPOL_PREFERRED, {&node, 1}, MPOL_MF_MOVE);
}

void interleave(std::span<const std::byte> range, std::span<const int32_t> nodes) {
  set_policy(range, MPOL_INTERLEAVE, nodes, 0);
}

}  // namespace xh
