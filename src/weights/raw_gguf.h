// Test helper: GGUF bytes put together by hand, right or wrong. The writer refuses to make the
// files that the reader must refuse to read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "weights/gguf_format.h"

namespace xh {

class RawGguf {
 public:
  RawGguf(uint64_t n_tensors, uint64_t n_keys, uint32_t version = 3) {
    put(kGgufMagic).put(version).put(n_tensors).put(n_keys);
  }

  template <class T>
  RawGguf& put(T value) {
    const auto* data = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), data, data + sizeof(T));
    return *this;
  }
  RawGguf& type(GgufType value) { return put(static_cast<uint32_t>(value)); }
  RawGguf& text(std::string_view value) { return text_of(value.size(), value); }
  // A string whose stated length may be a lie.
  RawGguf& text_of(uint64_t stated, std::string_view value) {
    put(stated);
    for (char c : value) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  template <class T>
  RawGguf& key(std::string_view name, GgufType kind, T value) {
    return text(name).type(kind).put(value);
  }
  RawGguf& array(std::string_view name, GgufType element, uint64_t count) {
    return text(name).type(GgufType::kArray).type(element).put(count);
  }
  // dims fastest first, as in the file.
  RawGguf& tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type_id,
                  uint64_t offset) {
    text(name).put(static_cast<uint32_t>(dims.size()));
    for (uint64_t dim : dims) put(dim);
    return put(type_id).put(offset);
  }
  // The data section: alignment, then n zero bytes.
  RawGguf& data(size_t n, size_t alignment = kGgufDefaultAlignment) {
    while (bytes_.size() % alignment != 0) bytes_.push_back(std::byte{0});
    bytes_.resize(bytes_.size() + n);
    return *this;
  }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace xh
