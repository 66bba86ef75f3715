// A cursor over untrusted bytes. It is the only way the readers of model files touch their input:
// a read either lies wholly inside the span or is an error that names the file, the offset and the
// field.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/checked.h"
#include "base/result.h"

namespace xh {

static_assert(std::endian::native == std::endian::little, "files are read in place");

// Does not own the bytes or the label. One thread at a time.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string_view label)
      : bytes_(bytes), label_(label) {}

  uint64_t offset() const { return offset_; }
  uint64_t size() const { return bytes_.size(); }
  uint64_t remaining() const { return bytes_.size() - offset_; }
  std::string_view label() const { return label_; }

  // A little-endian number.
  template <class T>
  Result<T> read(std::string_view field) {
    static_assert(std::is_arithmetic_v<T>);
    if (remaining() < sizeof(T)) return too_short(sizeof(T), field);
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  // The next n bytes, as a view into the input.
  Result<std::span<const std::byte>> take(uint64_t n, std::string_view field) {
    if (remaining() < n) return too_short(n, field);
    auto view = bytes_.subspan(offset_, n);
    offset_ += n;
    return view;
  }

  // `count` items of at least `min_item_bytes` each must still fit: call it before allocating for
  // a count that came from the file.
  Result<void> check_count(uint64_t count, uint64_t min_item_bytes, std::string_view field) const {
    auto need = checked_mul(count, min_item_bytes);
    if (need && *need <= remaining()) return {};
    return error(ErrorCode::kCorrupt,
                 std::string(field) + ": " + std::to_string(count) + " items of at least " +
                     std::to_string(min_item_bytes) + " bytes do not fit into the " +
                     std::to_string(remaining()) + " bytes that remain",
                 "the file is damaged or incomplete: fetch it again");
  }

  // An error at the present offset.
  std::unexpected<Error> error(ErrorCode code, std::string message, std::string remedy = {}) const {
    return error_at(offset_, code, std::move(message), std::move(remedy));
  }
  std::unexpected<Error> error_at(uint64_t offset, ErrorCode code, std::string message,
                                  std::string remedy = {}) const {
    return fail(code, std::move(message),
                std::string(label_) + " at offset " + std::to_string(offset), std::move(remedy));
  }

 private:
  std::unexpected<Error> too_short(uint64_t need, std::string_view field) const {
    return error(ErrorCode::kCorrupt,
                 std::string(field) + ": needs " + std::to_string(need) + " bytes, but only " +
                     std::to_string(remaining()) + " remain",
                 "the file is damaged or incomplete: fetch it again");
  }

  std::span<const std::byte> bytes_;
  std::string_view label_;
  uint64_t offset_ = 0;
};

}  // namespace xh
