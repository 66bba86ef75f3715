// Names from untrusted files, made safe to show in an error or a log line.
#pragma once

#include <string>
#include <string_view>

namespace xh {

// 'text' in single quotes; control bytes, quotes and bytes outside ASCII become \xNN; text past
// `max_chars` is cut and ends in "…".
std::string quote_name(std::string_view text, size_t max_chars = 80);

}  // namespace xh
