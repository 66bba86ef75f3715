// Zero-filled memory straight from the kernel: aligned to pages, counted only where touched, in
// huge pages where the kernel has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"

namespace xh::cpu {

class Memory {
 public:
  Memory() = default;
  static Result<Memory> map(uint64_t bytes);
  Memory(Memory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Memory();

  // Takes this part from the kernel before it is touched. A wish: where the kernel does not know it
  // (before Linux 5.14), memory comes when it is touched.
  void populate(uint64_t offset, uint64_t bytes) const;

  std::byte* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace xh::cpu
