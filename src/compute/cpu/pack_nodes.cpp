#include "compute/cpu/pack_nodes.h"

#include <chrono>

#include "base/log.h"
#include "base/mapped_huge_pages.h"

namespace xh::cpu {
namespace {

constexpr double kGatherSeconds = 1.0;  // of a start that finds the file in small pieces

// The bytes of the panels that a node's threads multiply.
std::span<const std::byte> panels_of(const ThreadPool::Team& team, int32_t pool_size,
                                     const MappedFile& file, const PackEntry& e) {
  const int64_t n = (e.out + kPanelRows - 1) / kPanelRows;
  const auto panel_bytes = static_cast<int64_t>(e.bytes) / n;
  const Share share = team.share(n, pool_size);
  return file.bytes()
      .subspan(e.offset, e.bytes)
      .subspan(static_cast<size_t>(share.begin * panel_bytes),
               static_cast<size_t>(share.size() * panel_bytes));
}

}  // namespace

void read_ahead(const MappedFile& file, const PackTable& table, ThreadPool& pool) {
  if (pool.teams().size() == 1) return file.will_need(file.bytes());
  pool.run([&](int32_t thread) {
    const auto& team = pool.team_of(thread);
    if (thread != team.first) return;
    for (const auto& e : table.entries) file.will_need(panels_of(team, pool.size(), file, e));
  });
}

void settle(const MappedFile& file, const PackTable& table, const ThreadPool& pool) {
  if (pool.teams().size() == 1) return gather_huge_pages(file, kGatherSeconds);
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& e : table.entries)
    for (const auto& team : pool.teams())
      prefer_node(panels_of(team, pool.size(), file, e), team.node.id);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
  log::debug("{}: weights lie on {} memory nodes, after {:.1f} s", file.path(), pool.teams().size(),
             spent.count());
}

}  // namespace xh::cpu
