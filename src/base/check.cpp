#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace xh {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "xiaohu: internal check failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace xh
