#include "compute/cpu/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/huge_pages.h"

namespace xh::cpu {

Result<Memory> Memory::map(uint64_t bytes) {
  Memory memory;
  if (bytes == 0) return memory;
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return fail(ErrorCode::kOutOfMemory, "cannot map " + std::to_string(bytes) + " bytes", {},
                "free memory, or choose a smaller model or KV budget");
  if (bytes >= kHugePageBytes) madvise(p, bytes, MADV_HUGEPAGE);  // a wish, not a need
  memory.data_ = static_cast<std::byte*>(p);
  memory.bytes_ = bytes;
  return memory;
}

void Memory::populate(uint64_t offset, uint64_t bytes) const {
  static const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = offset / page * page, end = std::min(offset + bytes, bytes_);
  if (begin < end) madvise(data_ + begin, end - begin, MADV_POPULATE_WRITE);
}

Memory::~Memory() {
  if (data_) munmap(data_, bytes_);
}

}  // namespace xh::cpu
