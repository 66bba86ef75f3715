#include "weights/gguf_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <type_traits>

#include "base/checked.h"
#include "base/quote.h"

namespace xh {
namespace {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

// Grows a header; numbers little-endian.
class ByteBuilder {
 public:
  template <class T>
  void put(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out_.insert(out_.end(), bytes, bytes + sizeof(T));
  }
  void put_string(std::string_view text) {
    put<uint64_t>(text.size());
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    out_.insert(out_.end(), bytes, bytes + text.size());
  }
  void pad(uint64_t alignment) {
    while (out_.size() % alignment != 0) out_.push_back(std::byte{0});
  }
  uint64_t size() const { return out_.size(); }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

std::unexpected<Error> refuse(const std::string& message) {
  return fail(ErrorCode::kInvalidArgument, message);
}

GgufType natural_type(uint64_t x) {
  return x <= UINT32_MAX ? GgufType::kUint32 : GgufType::kUint64;
}
GgufType natural_type(int64_t x) {
  return x >= INT32_MIN && x <= INT32_MAX ? GgufType::kInt32 : GgufType::kInt64;
}
GgufType natural_type(double x) {
  const bool exact = std::isnan(x) || static_cast<double>(static_cast<float>(x)) == x;
  return exact ? GgufType::kFloat32 : GgufType::kFloat64;
}
GgufType natural_type(bool) {
  return GgufType::kBool;
}
GgufType natural_type(const std::string&) {
  return GgufType::kString;
}

// The type that every element fits; numbers are ordered so that the larger id is the wider type.
template <class T>
GgufType natural_type(const std::vector<T>& values) {
  GgufType type = natural_type(T{});
  for (const auto& x : values) type = std::max(type, natural_type(static_cast<const T&>(x)));
  return type;
}

template <class Stored, class T>
bool put_if_fits(ByteBuilder& out, T x) {
  const auto stored = static_cast<Stored>(x);
  if constexpr (std::is_integral_v<T>) {
    if (static_cast<T>(stored) != x) return false;
  }
  out.put(stored);
  return true;
}

bool put_element(ByteBuilder& out, GgufType type, uint64_t x) {
  switch (type) {
    case GgufType::kUint8: return put_if_fits<uint8_t>(out, x);
    case GgufType::kUint16: return put_if_fits<uint16_t>(out, x);
    case GgufType::kUint32: return put_if_fits<uint32_t>(out, x);
    case GgufType::kUint64: return put_if_fits<uint64_t>(out, x);
    default: return false;
  }
}
bool put_element(ByteBuilder& out, GgufType type, int64_t x) {
  switch (type) {
    case GgufType::kInt8: return put_if_fits<int8_t>(out, x);
    case GgufType::kInt16: return put_if_fits<int16_t>(out, x);
    case GgufType::kInt32: return put_if_fits<int32_t>(out, x);
    case GgufType::kInt64: return put_if_fits<int64_t>(out, x);
    default: return false;
  }
}
bool put_element(ByteBuilder& out, GgufType type, double x) {
  if (type == GgufType::kFloat32) return put_if_fits<float>(out, x);
  return type == GgufType::kFloat64 && put_if_fits<double>(out, x);
}
bool put_element(ByteBuilder& out, GgufType type, bool x) {
  return type == GgufType::kBool && put_if_fits<uint8_t>(out, x);
}
bool put_element(ByteBuilder& out, GgufType type, const std::string& x) {
  if (type != GgufType::kString || x.size() > kGgufMaxStringBytes) return false;
  out.put_string(x);
  return true;
}

bool put_value(ByteBuilder& out, const MetaValue& value, std::optional<GgufType> wanted) {
  return std::visit(
      [&]<class T>(const T& x) {
        const GgufType type = wanted.value_or(natural_type(x));
        if constexpr (IsVector<T>::value) {
          out.put(static_cast<uint32_t>(GgufType::kArray));
          out.put(static_cast<uint32_t>(type));
          out.put<uint64_t>(x.size());
          for (const auto& element : x)
            if (!put_element(out, type, static_cast<const typename T::value_type&>(element)))
              return false;
          return true;
        } else {
          out.put(static_cast<uint32_t>(type));
          return put_element(out, type, x);
        }
      },
      value);
}

// Writes all of `bytes`, through interruptions and short writes.
Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return fail(ErrorCode::kIo, std::string("cannot write: ") + std::strerror(errno), path);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace

void GgufWriter::set(std::string key, MetaValue value) {
  std::optional<GgufType> type;
  if ((key == "split.no" || key == "split.count") && std::holds_alternative<uint64_t>(value))
    type = GgufType::kUint16;
  values_.insert_or_assign(std::move(key), Value{std::move(value), type});
}

void GgufWriter::set(std::string key, MetaValue value, GgufType type) {
  values_.insert_or_assign(std::move(key), Value{std::move(value), type});
}

void GgufWriter::set_all(const Metadata& metadata) {
  for (const auto& [key, value] : metadata.values()) set(key, value);
}

void GgufWriter::add_tensor(std::string name, DType type, Shape shape,
                            std::span<const std::byte> data) {
  tensors_.push_back({std::move(name), type, shape, data, nullptr});
}

void GgufWriter::add_tensor(std::string name, DType type, Shape shape, Fill fill) {
  tensors_.push_back({std::move(name), type, shape, {}, std::move(fill)});
}

Result<uint64_t> GgufWriter::alignment() const {
  auto it = values_.find("general.alignment");
  if (it == values_.end()) return kGgufDefaultAlignment;
  const auto* given = std::get_if<uint64_t>(&it->second.value);
  if (given == nullptr || !std::has_single_bit(*given) || *given < kGgufMinAlignment ||
      *given > kGgufMaxAlignment)
    return refuse("'general.alignment' must be a power of two from 8 to 1048576");
  return *given;
}

Result<std::vector<uint64_t>> GgufWriter::tensor_sizes() const {
  std::vector<uint64_t> sizes;
  std::set<std::string_view> names;
  for (const auto& t : tensors_) {
    if (t.name.empty() || t.name.size() > kGgufMaxNameBytes ||
        t.name.find('\0') != std::string::npos || !names.insert(t.name).second)
      return refuse("tensor name " + quote_name(t.name) + " is empty, too long, or used twice");
    if (t.shape.rank < 1 || t.shape.rank > static_cast<int>(kGgufMaxDims))
      return refuse("tensor " + quote_name(t.name) + ": a rank from 1 to 4 can be stored");
    std::optional<uint64_t> bytes = 1;
    for (int d = 0; d < t.shape.rank; ++d) {
      if (t.shape[d] < 1) return refuse("tensor " + quote_name(t.name) + ": a dimension below 1");
      const auto dim = static_cast<uint64_t>(t.shape[d]);
      const auto factor = d + 1 < t.shape.rank ? std::optional(dim) : dtype_bytes(t.type, dim);
      bytes = bytes && factor ? checked_mul(*bytes, *factor) : std::nullopt;
    }
    if (!bytes)
      return refuse("tensor " + quote_name(t.name) + ": its rows are not whole " +
                    std::string(dtype_name(t.type)) + " blocks, or it is too large");
    if (!t.fill && t.data.size() != *bytes)
      return refuse("tensor " + quote_name(t.name) + ": " + std::to_string(t.data.size()) +
                    " bytes given, its shape needs " + std::to_string(*bytes));
    sizes.push_back(*bytes);
  }
  return sizes;
}

Result<std::vector<std::byte>> GgufWriter::header(const std::vector<uint64_t>& sizes,
                                                  uint64_t alignment) const {
  ByteBuilder out;
  out.put(kGgufMagic);
  out.put(kGgufVersion);
  out.put<uint64_t>(tensors_.size());
  out.put<uint64_t>(values_.size());
  for (const auto& [key, value] : values_) {
    if (key.empty() || key.size() > kGgufMaxKeyBytes || key.find('\0') != std::string::npos)
      return refuse("metadata key " + quote_name(key) + " is empty or too long");
    out.put_string(key);
    if (!put_value(out, value.value, value.type))
      return refuse("metadata key " + quote_name(key) + ": the value does not fit its type");
  }
  uint64_t offset = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto& t = tensors_[i];
    out.put_string(t.name);
    out.put(static_cast<uint32_t>(t.shape.rank));
    for (int d = t.shape.rank - 1; d >= 0; --d) out.put(static_cast<uint64_t>(t.shape[d]));
    out.put(dtype_to_gguf(t.type));
    out.put(offset);
    const auto end = checked_add(offset, sizes[i]);
    const auto next = end ? checked_align(*end, alignment) : std::nullopt;
    if (!next) return refuse("tensor " + quote_name(t.name) + ": the file would be too large");
    offset = *next;
  }
  out.pad(alignment);
  return out.take();
}

Result<void> GgufWriter::emit(const Sink& sink) const {
  XH_TRY(const uint64_t align, alignment());
  XH_TRY(const auto sizes, tensor_sizes());
  XH_TRY(const auto head, header(sizes, align));
  XH_TRY_VOID(sink(head));
  const std::vector<std::byte> zeros(align);
  std::vector<std::byte> scratch;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto& t = tensors_[i];
    auto data = t.data;
    if (t.fill) {
      scratch.assign(sizes[i], std::byte{0});
      XH_TRY_VOID(t.fill(scratch));
      data = scratch;
    }
    XH_TRY_VOID(sink(data));
    const uint64_t rest = sizes[i] % align;
    if (rest != 0) XH_TRY_VOID(sink(std::span(zeros).first(align - rest)));
  }
  return {};
}

Result<std::vector<std::byte>> GgufWriter::to_bytes() const {
  std::vector<std::byte> out;
  XH_TRY_VOID(emit([&](std::span<const std::byte> bytes) -> Result<void> {
    out.insert(out.end(), bytes.begin(), bytes.end());
    return {};
  }));
  return out;
}

Result<void> GgufWriter::write(const std::string& path) const {
  const std::string part = path + ".part";
  const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    return fail(ErrorCode::kIo, std::string("cannot create: ") + std::strerror(errno), part,
                "check the folder and its permissions");
  }
  auto written = emit([&](std::span<const std::byte> bytes) { return write_all(fd, bytes, part); });
  if (written && ::fsync(fd) != 0)
    written = fail(ErrorCode::kIo, std::string("cannot sync: ") + std::strerror(errno), part);
  if (::close(fd) != 0 && written)
    written = fail(ErrorCode::kIo, std::string("cannot close: ") + std::strerror(errno), part);
  if (written && ::rename(part.c_str(), path.c_str()) != 0)
    written = fail(ErrorCode::kIo, std::string("cannot rename: ") + std::strerror(errno), path);
  if (!written) ::unlink(part.c_str());
  return written;
}

}  // namespace xh
