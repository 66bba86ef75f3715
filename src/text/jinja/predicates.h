// The tests a template may ask with 'is'.
#pragma once

#include <string_view>

#include "text/jinja/runtime.h"

namespace xh::jinja {

struct TestEntry {
  std::string_view name;
  int (*ask)(Runtime&, const Value&, const Args&);  // 1, 0, or -1 for failed
};

const TestEntry* find_test(std::string_view name);  // null when there is none

}  // namespace xh::jinja
