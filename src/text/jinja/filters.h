// The filters a template may apply with '|'.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/methods.h"

namespace xh::jinja {

struct FilterEntry {
  std::string_view name;
  Native apply;
};

const FilterEntry* find_filter(std::string_view name);  // null when there is none
// By a name known only when rendering (map).
Value call_filter(Runtime& rt, std::string_view name, const Value& v, const Args& args);

std::span<const FilterEntry> text_filters();      // filters_text.cpp
std::span<const FilterEntry> sequence_filters();  // filters_sequence.cpp
std::span<const FilterEntry> number_filters();    // filters_number.cpp

}  // namespace xh::jinja
