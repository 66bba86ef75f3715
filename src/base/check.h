// XH_CHECK stops the process on a mistake of our own. It must be unreachable from input.
#pragma once

namespace xh {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define XH_CHECK(cond) \
  (static_cast<bool>(cond) ? static_cast<void>(0) : ::xh::check_failed(#cond, __FILE__, __LINE__))
