// An allocator for std::vector whose large arrays ask the kernel for huge pages: one page fault
// instead of 512, which otherwise cost as much as the work on them.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace xh {

constexpr size_t kHugePageBytes = 2 << 20;

template <class T>
struct HugePageAllocator {
  using value_type = T;

  HugePageAllocator() = default;
  template <class U>
  HugePageAllocator(const HugePageAllocator<U>&) {}

  // Throws std::bad_alloc, as allocators do.
  T* allocate(size_t count) {
    if (count > size_t(-1) / sizeof(T)) throw std::bad_array_new_length();
    const size_t bytes = count * sizeof(T);
    if (bytes < kLarge) return static_cast<T*>(::operator new(bytes));
    void* p = ::operator new(bytes, kHugePage);
    ::madvise(p, bytes, MADV_HUGEPAGE);  // a wish, not a need
    return static_cast<T*>(p);
  }
  void deallocate(T* p, size_t count) {
    if (count * sizeof(T) < kLarge) return ::operator delete(p);
    ::operator delete(p, kHugePage);
  }
  bool operator==(const HugePageAllocator&) const { return true; }

 private:
  static constexpr std::align_val_t kHugePage{kHugePageBytes};
  static constexpr size_t kLarge = 4 << 20;
};

}  // namespace xh
