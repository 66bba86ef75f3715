// SHA-256 of bytes as they come by.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace xh::hub {

class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  // 64 hexadecimal digits of everything since construction or reset(). Starts anew.
  std::string finish();
  void reset();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

}  // namespace xh::hub
