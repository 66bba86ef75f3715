// Writes MessagePack: just the types that events need (msgpack's specification, 2013 version).
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace xh::serve {

class MsgpackWriter {
 public:
  void nil() { out_ += '\xc0'; }
  void unsigned_int(uint64_t value) {
    if (value < 128) return byte(value);
    if (value <= 0xff) return sized('\xcc', value, 1);
    if (value <= 0xffff) return sized('\xcd', value, 2);
    if (value <= 0xffffffff) return sized('\xce', value, 4);
    sized('\xcf', value, 8);
  }
  void float64(double value) { sized('\xcb', std::bit_cast<uint64_t>(value), 8); }
  void text(std::string_view value) {
    if (value.size() < 32) {
      byte(0xa0 | value.size());
    } else if (value.size() <= 0xff) {
      sized('\xd9', value.size(), 1);
    } else {
      sized('\xdb', value.size(), 4);
    }
    out_ += value;
  }
  // The elements follow.
  void array(size_t n) {
    if (n < 16) return byte(0x90 | n);
    if (n <= 0xffff) return sized('\xdc', n, 2);
    sized('\xdd', n, 4);
  }

  std::string take() { return std::move(out_); }

 private:
  void byte(uint64_t value) { out_ += static_cast<char>(value); }
  void sized(char type, uint64_t value, int bytes) {
    out_ += type;
    for (int i = bytes; i-- > 0;) byte(value >> (8 * i) & 0xff);
  }
  std::string out_;
};

}  // namespace xh::serve
