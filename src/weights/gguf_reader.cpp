#include "weights/gguf_reader.h"

#include <algorithm>
#include <bit>

#include "base/byte_reader.h"
#include "base/quote.h"
#include "weights/gguf_format.h"

namespace xh {
namespace {

constexpr const char* kFetchAgain = "the file is damaged or incomplete: fetch it again";

// Heap per entry, rounded up: a map node with its key and value; a NamedTensor with its extent and
// one copy while the parts of a set are joined.
constexpr uint64_t kHeapPerKey = 256;
constexpr uint64_t kHeapPerTensor = 320;

// Shortest possible entries in a file.
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 4 + 8;

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::string_view label, ParseBudget& budget)
      : bytes_(bytes), in_(bytes, label), budget_(budget) {}

  Result<GgufPart> run();

 private:
  // Where a tensor's data lies, relative to the data section until place_tensors().
  struct Extent {
    uint64_t offset;
    uint64_t bytes;
    size_t index;
  };

  Result<void> read_header();
  Result<void> read_keys();
  Result<void> read_tensor_infos();
  Result<void> read_tensor_info();
  Result<Shape> read_shape(const std::string& name);
  Result<DType> read_dtype(const std::string& name);
  Result<void> place_tensors();

  Result<std::string_view> read_string(std::string_view field, uint64_t max_bytes);
  Result<std::string> read_name(std::string_view field, uint64_t max_bytes);
  Result<GgufType> read_type(std::string_view field);
  Result<MetaValue> read_value(std::string_view key);
  Result<MetaValue> read_scalar(GgufType type, std::string_view key);
  Result<MetaValue> read_array(std::string_view key);
  Result<MetaValue> read_string_array(uint64_t count, std::string_view key);
  template <class Stored, class Kept>
  Result<MetaValue> read_number_array(uint64_t count, std::string_view key);
  Result<void> charge(uint64_t heap_bytes, std::string_view field);

  std::span<const std::byte> bytes_;
  ByteReader in_;
  ParseBudget& budget_;
  GgufPart part_;
  uint64_t n_tensors_ = 0;
  uint64_t n_keys_ = 0;
  std::vector<Extent> extents_;
};

// What people hand over instead of a GGUF, told apart by the first bytes.
std::string describe_foreign(std::span<const std::byte> bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                        std::min<size_t>(bytes.size(), 64));
  if (text.starts_with("PK")) return "this is a zip archive, perhaps a PyTorch checkpoint";
  if (text.starts_with("<")) return "this is a web page: the download failed";
  if (text.starts_with("version https://git-lfs")) return "this is a Git LFS pointer, not the file";
  if (text.starts_with("ggjt") || text.starts_with("tjgg") || text.starts_with("lmgg"))
    return "this is a model format from before GGUF";
  if (text.size() > 8 && text[8] == '{') return "this looks like a safetensors file";
  return "this is not a GGUF file";
}

Result<void> Parser::charge(uint64_t heap_bytes, std::string_view field) {
  if (budget_.charge(heap_bytes, in_.offset())) return {};
  return in_.error(ErrorCode::kTooLarge,
                   std::string(field) + ": " + std::to_string(heap_bytes) +
                       " bytes more exceed what a file of this size may use",
                   "the file is damaged or hostile");
}

Result<GgufPart> Parser::run() {
  budget_.add_input(bytes_.size());
  XH_TRY_VOID(read_header());
  XH_TRY_VOID(read_keys());
  XH_TRY_VOID(read_tensor_infos());
  XH_TRY_VOID(place_tensors());
  return std::move(part_);
}

Result<void> Parser::read_header() {
  if (in_.size() == 0) return in_.error(ErrorCode::kCorrupt, "the file is empty", kFetchAgain);
  XH_TRY(auto magic, in_.read<uint32_t>("magic"));
  if (magic == std::byteswap(kGgufMagic)) {
    return in_.error_at(0, ErrorCode::kUnsupported, "magic: a big-endian GGUF",
                        "convert it to little-endian");
  }
  if (magic != kGgufMagic) {
    return in_.error_at(0, ErrorCode::kCorrupt, "magic: " + describe_foreign(bytes_),
                        "give a .gguf file, or a folder with config.json and safetensors files");
  }
  XH_TRY(part_.version, in_.read<uint32_t>("version"));
  const uint32_t version = part_.version;
  if (version != 0 && (version & 0xffff) == 0) {
    return in_.error_at(4, ErrorCode::kUnsupported, "version: a big-endian GGUF",
                        "convert it to little-endian");
  }
  if (version != 2 && version != 3) {
    return in_.error_at(4, ErrorCode::kUnsupported,
                        "version: " + std::to_string(version) + " is not 2 or 3",
                        "convert the model again with a current tool");
  }
  XH_TRY(n_tensors_, in_.read<uint64_t>("tensor_count"));
  XH_TRY(n_keys_, in_.read<uint64_t>("metadata_kv_count"));
  XH_TRY_VOID(in_.check_count(n_tensors_, kMinTensorBytes, "tensor_count"));
  XH_TRY_VOID(in_.check_count(n_keys_, kMinKeyBytes, "metadata_kv_count"));
  return {};
}

Result<std::string_view> Parser::read_string(std::string_view field, uint64_t max_bytes) {
  const uint64_t start = in_.offset();
  XH_TRY(auto length, in_.read<uint64_t>(field));
  if (length > max_bytes) {
    return in_.error_at(start,
                        length > in_.remaining() ? ErrorCode::kCorrupt : ErrorCode::kTooLarge,
                        std::string(field) + ": a length of " + std::to_string(length) +
                            " bytes is over the limit of " + std::to_string(max_bytes),
                        "the file is damaged or hostile");
  }
  XH_TRY(auto view, in_.take(length, field));
  return std::string_view(reinterpret_cast<const char*>(view.data()), view.size());
}

// Keys and tensor names: not empty, no zero byte (C programs would see another name).
Result<std::string> Parser::read_name(std::string_view field, uint64_t max_bytes) {
  const uint64_t start = in_.offset();
  XH_TRY(auto name, read_string(field, max_bytes));
  if (name.empty() || name.find('\0') != std::string_view::npos) {
    return in_.error_at(start, ErrorCode::kCorrupt,
                        std::string(field) + (name.empty() ? ": empty" : ": holds a zero byte"),
                        kFetchAgain);
  }
  return std::string(name);
}

Result<GgufType> Parser::read_type(std::string_view field) {
  const uint64_t start = in_.offset();
  XH_TRY(auto id, in_.read<uint32_t>(field));
  if (id > static_cast<uint32_t>(GgufType::kFloat64)) {
    return in_.error_at(start, ErrorCode::kCorrupt,
                        "type of " + quote_name(field) + ": " + std::to_string(id) + " is unknown",
                        kFetchAgain);
  }
  return static_cast<GgufType>(id);
}

Result<void> Parser::read_keys() {
  XH_TRY_VOID(charge(n_keys_ * kHeapPerKey, "metadata_kv_count"));
  for (uint64_t i = 0; i < n_keys_; ++i) {
    const uint64_t start = in_.offset();
    const std::string field = "key " + std::to_string(i);
    XH_TRY(auto key, read_name(field, kGgufMaxKeyBytes));
    XH_TRY_VOID(charge(key.size(), field));
    if (part_.metadata.has(key)) {
      return in_.error_at(start, ErrorCode::kCorrupt, "duplicate metadata key " + quote_name(key));
    }
    XH_TRY(auto value, read_value(key));
    part_.metadata.set(std::move(key), std::move(value));
  }
  return {};
}

Result<MetaValue> Parser::read_value(std::string_view key) {
  XH_TRY(auto type, read_type(key));
  if (type == GgufType::kArray) return read_array(key);
  if (type != GgufType::kString) return read_scalar(type, key);
  XH_TRY(auto text, read_string(key, kGgufMaxStringBytes));
  XH_TRY_VOID(charge(text.size() + 32, key));
  return MetaValue(std::string(text));
}

template <class Kept>
MetaValue keep(Kept value) {
  return MetaValue(std::in_place_type<Kept>, value);
}

Result<MetaValue> Parser::read_scalar(GgufType type, std::string_view key) {
  auto widen = [&]<class Stored, class Kept>(Stored, Kept) -> Result<MetaValue> {
    XH_TRY(auto value, in_.read<Stored>(key));
    return keep(static_cast<Kept>(value));
  };
  switch (type) {
    case GgufType::kUint8: return widen(uint8_t{}, uint64_t{});
    case GgufType::kInt8: return widen(int8_t{}, int64_t{});
    case GgufType::kUint16: return widen(uint16_t{}, uint64_t{});
    case GgufType::kInt16: return widen(int16_t{}, int64_t{});
    case GgufType::kUint32: return widen(uint32_t{}, uint64_t{});
    case GgufType::kInt32: return widen(int32_t{}, int64_t{});
    case GgufType::kUint64: return widen(uint64_t{}, uint64_t{});
    case GgufType::kInt64: return widen(int64_t{}, int64_t{});
    case GgufType::kFloat32: return widen(float{}, double{});
    case GgufType::kFloat64: return widen(double{}, double{});
    case GgufType::kBool: {
      XH_TRY(auto value, in_.read<uint8_t>(key));
      if (value > 1) {
        return in_.error_at(in_.offset() - 1, ErrorCode::kCorrupt,
                            quote_name(key) + ": a boolean of value " + std::to_string(value),
                            kFetchAgain);
      }
      return keep(value == 1);
    }
    case GgufType::kString:
    case GgufType::kArray: break;  // read_value() has taken these
  }
  return in_.error(ErrorCode::kInternal, "unexpected value type");
}

template <class Stored, class Kept>
Result<MetaValue> Parser::read_number_array(uint64_t count, std::string_view key) {
  XH_TRY_VOID(in_.check_count(count, sizeof(Stored), key));
  XH_TRY_VOID(charge(count * sizeof(Kept) + 32, key));
  XH_TRY(auto bytes, in_.take(count * sizeof(Stored), key));
  std::vector<Kept> values(count);
  for (size_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = static_cast<Kept>(stored);
  }
  return MetaValue(std::move(values));
}

Result<MetaValue> Parser::read_string_array(uint64_t count, std::string_view key) {
  XH_TRY_VOID(in_.check_count(count, 8, key));
  XH_TRY_VOID(charge(count * sizeof(std::string) + 32, key));
  std::vector<std::string> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    auto text = read_string(key, kGgufMaxStringBytes);
    if (!text) {
      text.error().message += " (element " + std::to_string(i) + ")";
      return std::unexpected(std::move(text).error());
    }
    if (text->size() > 15) XH_TRY_VOID(charge(text->size() + 24, key));
    values.emplace_back(*text);
  }
  return MetaValue(std::move(values));
}

Result<MetaValue> Parser::read_array(std::string_view key) {
  const uint64_t start = in_.offset();
  XH_TRY(auto type, read_type(key));
  XH_TRY(auto count, in_.read<uint64_t>(key));
  switch (type) {
    case GgufType::kUint8: return read_number_array<uint8_t, uint64_t>(count, key);
    case GgufType::kInt8: return read_number_array<int8_t, int64_t>(count, key);
    case GgufType::kUint16: return read_number_array<uint16_t, uint64_t>(count, key);
    case GgufType::kInt16: return read_number_array<int16_t, int64_t>(count, key);
    case GgufType::kUint32: return read_number_array<uint32_t, uint64_t>(count, key);
    case GgufType::kInt32: return read_number_array<int32_t, int64_t>(count, key);
    case GgufType::kUint64: return read_number_array<uint64_t, uint64_t>(count, key);
    case GgufType::kInt64: return read_number_array<int64_t, int64_t>(count, key);
    case GgufType::kFloat32: return read_number_array<float, double>(count, key);
    case GgufType::kFloat64: return read_number_array<double, double>(count, key);
    case GgufType::kString: return read_string_array(count, key);
    case GgufType::kBool: {
      XH_TRY_VOID(in_.check_count(count, 1, key));
      XH_TRY_VOID(charge(count / 8 + 32, key));
      XH_TRY(auto bytes, in_.take(count, key));
      std::vector<bool> values(count);
      for (size_t i = 0; i < count; ++i) {
        if (static_cast<uint8_t>(bytes[i]) > 1) {
          return in_.error_at(
              in_.offset() - count + i, ErrorCode::kCorrupt,
              quote_name(key) + ": element " + std::to_string(i) + " is not a boolean",
              kFetchAgain);
        }
        values[i] = static_cast<uint8_t>(bytes[i]) == 1;
      }
      return MetaValue(std::move(values));
    }
    case GgufType::kArray: break;
  }
  return in_.error_at(start, ErrorCode::kUnsupported,
                      quote_name(key) + ": arrays inside arrays are not supported");
}

Result<void> Parser::read_tensor_infos() {
  XH_TRY_VOID(in_.check_count(n_tensors_, kMinTensorBytes, "tensor_count"));
  XH_TRY_VOID(charge(n_tensors_ * kHeapPerTensor, "tensor_count"));
  part_.tensors.reserve(n_tensors_);
  extents_.reserve(n_tensors_);
  for (uint64_t i = 0; i < n_tensors_; ++i) {
    auto read = read_tensor_info();
    if (!read) {
      read.error().message = "tensor " + std::to_string(i) + ": " + read.error().message;
      return read;
    }
  }
  return {};
}

Result<void> Parser::read_tensor_info() {
  XH_TRY(auto name, read_name("name", kGgufMaxNameBytes));
  XH_TRY_VOID(charge(name.size(), "name"));
  const uint64_t start = in_.offset();
  XH_TRY(auto shape, read_shape(name));
  XH_TRY(auto type, read_dtype(name));
  XH_TRY(auto offset, in_.read<uint64_t>(quote_name(name) + " offset"));

  // A row is a whole number of blocks; every factor of the size is checked.
  auto bytes = dtype_bytes(type, static_cast<uint64_t>(shape[shape.rank - 1]));
  if (!bytes) {
    return in_.error_at(start, ErrorCode::kCorrupt,
                        quote_name(name) + ": rows of " + std::to_string(shape[shape.rank - 1]) +
                            " values are not whole " + std::string(dtype_name(type)) + " blocks",
                        kFetchAgain);
  }
  for (int d = 0; d + 1 < shape.rank && bytes; ++d)
    bytes = checked_mul(*bytes, static_cast<uint64_t>(shape[d]));
  if (!bytes || *bytes > in_.size()) {
    return in_.error_at(start, ErrorCode::kCorrupt,
                        quote_name(name) + ": its dimensions ask for more bytes than the file has",
                        kFetchAgain);
  }
  extents_.push_back({offset, *bytes, part_.tensors.size()});
  part_.tensors.push_back({std::move(name), TensorView{type, shape, nullptr, *bytes}});
  return {};
}

// Dimensions are stored fastest first; ours are row-major, slowest first.
Result<Shape> Parser::read_shape(const std::string& name) {
  XH_TRY(auto n_dims, in_.read<uint32_t>(quote_name(name) + " n_dims"));
  if (n_dims > kGgufMaxDims) {
    return in_.error_at(in_.offset() - 4, ErrorCode::kCorrupt,
                        quote_name(name) + ": " + std::to_string(n_dims) + " dimensions, at most " +
                            std::to_string(kGgufMaxDims) + " are possible",
                        kFetchAgain);
  }
  Shape shape;
  shape.rank = std::max(1, static_cast<int>(n_dims));  // no dimensions: one value
  for (uint32_t i = 0; i < n_dims; ++i) {
    XH_TRY(auto dim, in_.read<uint64_t>(quote_name(name) + " dims"));
    if (dim == 0 || dim > static_cast<uint64_t>(INT64_MAX)) {
      return in_.error_at(
          in_.offset() - 8, ErrorCode::kCorrupt,
          quote_name(name) + ": dimension " + std::to_string(i) + " is " + std::to_string(dim),
          kFetchAgain);
    }
    shape.dims[n_dims - 1 - i] = static_cast<int64_t>(dim);
  }
  return shape;
}

Result<DType> Parser::read_dtype(const std::string& name) {
  XH_TRY(auto id, in_.read<uint32_t>(quote_name(name) + " type"));
  if (auto type = dtype_from_gguf(id)) return *type;
  auto known = unreadable_gguf_dtype(id);
  if (known.empty()) {
    return in_.error_at(in_.offset() - 4, ErrorCode::kCorrupt,
                        quote_name(name) + ": tensor type " + std::to_string(id) + " is unknown",
                        "the file is damaged, or newer than this program");
  }
  return in_.error_at(
      in_.offset() - 4, ErrorCode::kUnsupported,
      quote_name(name) + ": tensors of type " + std::string(known) + " are not supported",
      "take a variant of the model in Q4_K, Q8_0 or another supported type");
}

// Offsets become pointers once the length of everything before the data is known.
Result<void> Parser::place_tensors() {
  uint64_t alignment = kGgufDefaultAlignment;
  if (const MetaValue* value = part_.metadata.find("general.alignment")) {
    const auto* given = std::get_if<uint64_t>(value);
    if (given == nullptr || !std::has_single_bit(*given) || *given < kGgufMinAlignment ||
        *given > kGgufMaxAlignment) {
      return in_.error(ErrorCode::kCorrupt,
                       "'general.alignment' is not a power of two from " +
                           std::to_string(kGgufMinAlignment) + " to " +
                           std::to_string(kGgufMaxAlignment),
                       kFetchAgain);
    }
    alignment = *given;
  }
  const auto data_start = checked_align(in_.offset(), alignment);
  if (!data_start) return in_.error(ErrorCode::kCorrupt, "the data section starts nowhere");

  for (auto& extent : extents_) {
    auto& tensor = part_.tensors[extent.index];
    const auto begin = checked_add(*data_start, extent.offset);
    const auto end = begin ? checked_add(*begin, extent.bytes) : std::nullopt;
    if (extent.offset % alignment != 0) {
      return in_.error(ErrorCode::kCorrupt,
                       quote_name(tensor.name) + ": offset " + std::to_string(extent.offset) +
                           " is not a multiple of the alignment " + std::to_string(alignment),
                       kFetchAgain);
    }
    if (!end || *end > bytes_.size()) {
      return in_.error(ErrorCode::kCorrupt,
                       quote_name(tensor.name) + ": its data (offset " +
                           std::to_string(extent.offset) + ", " + std::to_string(extent.bytes) +
                           " bytes) lies past the end of the " + std::to_string(bytes_.size()) +
                           "-byte file",
                       kFetchAgain);
    }
    tensor.view.data = bytes_.data() + *begin;
  }
  std::sort(extents_.begin(), extents_.end(),
            [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  for (size_t i = 1; i < extents_.size(); ++i) {
    const auto& before = extents_[i - 1];
    if (extents_[i].offset - before.offset < before.bytes) {
      return in_.error(ErrorCode::kCorrupt,
                       quote_name(part_.tensors[extents_[i].index].name) + " overlaps " +
                           quote_name(part_.tensors[before.index].name),
                       kFetchAgain);
    }
  }
  return {};
}

}  // namespace

bool ParseBudget::charge(uint64_t heap_bytes, uint64_t read_bytes) {
  const auto total = checked_add(heap_bytes_, heap_bytes);
  const auto with_input = total ? checked_add(*total, read_bytes) : std::nullopt;
  if (!with_input || *with_input > input_bytes_ + kGgufHeapAllowance) return false;
  heap_bytes_ = *total;
  return true;
}

Result<GgufPart> parse_gguf(std::span<const std::byte> bytes, std::string_view label,
                            ParseBudget& budget) {
  return Parser(bytes, label, budget).run();
}

}  // namespace xh
