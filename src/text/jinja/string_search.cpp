// Finding, replacing and cutting text: shared by methods and filters, linear on any input.
#include <algorithm>
#include <cstring>

#include "text/jinja/methods.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

// Ordinary text is searched by the needle's first byte, at memory speed. Where that byte is too
// common, the rest is searched by memmem: linear in the worst case, but slower, so it costs more.
int64_t find_text(Runtime& rt, std::string_view text, std::string_view needle, size_t from) {
  constexpr int kMaxMisses = 64;
  constexpr size_t kCommonWithin = 256, kChunk = 1 << 16;
  if (from > text.size() || needle.size() > text.size() - from || !rt.burn(1)) return -1;
  if (needle.empty()) return static_cast<int64_t>(from);
  const char* data = text.data();
  size_t size = needle.size(), last = text.size() - size, pos = from;
  for (int misses = 0; misses < kMaxMisses;) {
    if (pos > last) return -1;
    const void* hit = memchr(data + pos, needle[0], last - pos + 1);
    size_t at = hit ? static_cast<size_t>(static_cast<const char*>(hit) - data) : last + 1;
    if (!rt.burn((at - pos) / 128 + size / kBytesPerStep)) return -1;
    if (!hit) return -1;
    if (memcmp(data + at, needle.data(), size) == 0) return static_cast<int64_t>(at);
    misses = at - pos > kCommonWithin ? 0 : misses + 1;
    pos = at + 1;
  }
  for (size_t chunk = std::max(kChunk, 4 * size); pos <= last; pos += chunk) {
    size_t end = std::min(pos + chunk + size - 1, text.size());
    const void* hit = memmem(data + pos, end - pos, needle.data(), size);
    size_t stop = hit ? static_cast<size_t>(static_cast<const char*>(hit) - data) : end;
    if (!rt.burn((stop - pos) / 4)) return -1;
    if (hit) return static_cast<int64_t>(stop);
  }
  return -1;
}

Value replace_text(Runtime& rt, std::string_view text, std::string_view from, std::string_view to,
                   int64_t count) {
  std::string out;
  if (from.empty()) {  // between all characters, and at both ends
    size_t pos = 0;
    for (int64_t n = 0; n != count; ++n) {
      if (!rt.append(out, to)) return Value::error();
      if (pos == text.size()) return rt.string(std::move(out));
      size_t bytes = char_bytes(text, pos);
      if (!rt.append(out, text.substr(pos, bytes)) || !rt.burn(1)) return Value::error();
      pos += bytes;
    }
    return rt.append(out, text.substr(pos)) ? rt.string(std::move(out)) : Value::error();
  }
  size_t pos = 0;
  for (int64_t n = 0; n != count; ++n) {
    int64_t at = find_text(rt, text, from, pos);
    if (at < 0) break;
    if (!rt.append(out, text.substr(pos, static_cast<size_t>(at) - pos)) || !rt.append(out, to) ||
        !rt.burn(1))
      return Value::error();
    pos = static_cast<size_t>(at) + from.size();
  }
  if (rt.failed() || !rt.append(out, text.substr(pos))) return Value::error();
  return rt.string(std::move(out));
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t pos = 0; pos < text.size();) {
    size_t at = pos;
    char32_t c = next_code_point(text, pos);
    if (!is_line_break(c)) continue;
    if (c == '\r' && pos < text.size() && text[pos] == '\n') ++pos;
    lines.push_back(text.substr(start, (keep_ends ? pos : at) - start));
    start = pos;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

}  // namespace xh::jinja
