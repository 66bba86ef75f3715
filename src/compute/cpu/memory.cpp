#include "compute/cpu/memory.h"

#include <sys/mman.h>

#include <string>

namespace xh::cpu {

Result<Memory> Memory::map(uint64_t bytes) {
  Memory memory;
  if (bytes == 0) return memory;
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return fail(ErrorCode::kOutOfMemory, "cannot map " + std::to_string(bytes) + " bytes", {},
                "free memory, or choose a smaller model or KV budget");
  constexpr uint64_t kHugePage = 2 << 20;
  if (bytes >= kHugePage) madvise(p, bytes, MADV_HUGEPAGE);  // a wish, not a need
  memory.data_ = static_cast<std::byte*>(p);
  memory.bytes_ = bytes;
  return memory;
}

Memory::~Memory() {
  if (data_) munmap(data_, bytes_);
}

}  // namespace xh::cpu
