// Hears which full pages the prefix cache holds, so that others (a router before a fleet) can know
// where a prompt would be at home.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "text/tokenizer.h"

namespace xh {

// Called on the engine's thread, in the order of events: must be quick and must not call back.
// Blocks have numbers that are never used twice while the engine lives.
class PrefixObserver {
 public:
  struct Stored {
    uint64_t block = 0;
    uint64_t parent = 0;      // the block before it; 0: the first of a sequence
    std::string_view tenant;  // whose it is; only with parent 0, others have their parent's
    std::span<const TokenId> tokens{};  // kPageTokens of them
  };
  virtual ~PrefixObserver() = default;
  virtual void stored(const Stored& block) = 0;
  virtual void removed(uint64_t block) = 0;  // a parent may leave before its children
};

}  // namespace xh
