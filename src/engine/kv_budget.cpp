#include "engine/kv_budget.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace xh {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// The first number of a file; kUnlimited for "max" or no file.
uint64_t number_in(const char* path) {
  std::ifstream in(path);
  uint64_t value = 0;
  return in >> value ? value : kUnlimited;
}

uint64_t meminfo_available() {
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  uint64_t kib = 0;
  while (in >> key >> kib) {
    std::getline(in, unit);
    if (key == "MemAvailable:") return kib * 1024;
  }
  return kUnlimited;
}

uint64_t left_under(uint64_t limit, uint64_t used) {
  if (limit == kUnlimited || used == kUnlimited) return kUnlimited;
  return limit > used ? limit - used : 0;
}

}  // namespace

uint64_t available_memory_bytes() {
  uint64_t free = meminfo_available();
  free = std::min(free, left_under(number_in("/sys/fs/cgroup/memory.max"),
                                   number_in("/sys/fs/cgroup/memory.current")));
  free = std::min(free, left_under(number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
                                   number_in("/sys/fs/cgroup/memory/memory.usage_in_bytes")));
  return free == kUnlimited ? 0 : free;
}

}  // namespace xh
