// JSON from untrusted files, with Boost.JSON kept inside a memory budget.
#pragma once

#include <boost/json.hpp>
#include <cstddef>
#include <new>
#include <string>
#include <string_view>

#include "base/result.h"

namespace xh {

// Fails an allocation that would exceed the budget. Must outlive the values made from it.
class BudgetedMemory final : public boost::json::memory_resource {
 public:
  explicit BudgetedMemory(size_t budget_bytes) : left_(budget_bytes) {}

 private:
  void* do_allocate(size_t bytes, size_t alignment) override {
    if (bytes > left_ || alignment > alignof(std::max_align_t)) throw std::bad_alloc();
    // Boost.JSON may free with another alignment than it asked for, so none is passed on.
    void* p = ::operator new(bytes);
    left_ -= bytes;
    return p;
  }
  void do_deallocate(void* p, size_t bytes, size_t) override {
    ::operator delete(p);
    left_ += bytes;
  }
  bool do_is_equal(const boost::json::memory_resource& other) const noexcept override {
    return this == &other;
  }

  size_t left_;
};

// Parses one JSON text. Errors name `label`, and the offset from `start_offset` where parsing
// stopped. At most 16 levels deep; kTooLarge when `memory` is used up.
Result<boost::json::value> parse_json(std::string_view text, const std::string& label,
                                      uint64_t start_offset, BudgetedMemory& memory);

}  // namespace xh
