#include "weights/safetensors.h"

#include <algorithm>
#include <optional>

#include "base/byte_reader.h"
#include "base/quote.h"
#include "weights/bounded_json.h"
#include "weights/gguf_format.h"

namespace xh {
namespace {

constexpr uint64_t kMaxHeaderBytes = 32ull << 20;
constexpr size_t kJsonMemory = 48ull << 20;
constexpr const char* kFetchAgain = "the file is damaged or incomplete: fetch it again";

struct Entry {
  NamedTensor tensor;
  uint64_t begin;
  uint64_t end;
};

// The words of one tensor's description, checked one by one.
class EntryParser {
 public:
  EntryParser(std::string_view name, const boost::json::value& value, const std::string& label)
      : name_(name), object_(value.if_object()), label_(label) {}

  Result<Entry> run() {
    if (object_ == nullptr) return error(ErrorCode::kCorrupt, "is not a JSON object");
    if (name_.empty() || name_.size() > kGgufMaxNameBytes ||
        name_.find('\0') != std::string_view::npos)
      return error(ErrorCode::kCorrupt, "has an impossible name");
    Entry entry{};
    entry.tensor.name = name_;
    TensorView& view = entry.tensor.view;
    XH_TRY(view.type, dtype());
    XH_TRY(view.shape, shape());
    XH_TRY_VOID(offsets(entry));

    auto bytes = dtype_bytes(view.type, 1);
    for (int d = 0; d < view.shape.rank && bytes; ++d)
      bytes = checked_mul(*bytes, static_cast<uint64_t>(view.shape[d]));
    if (!bytes || *bytes != entry.end - entry.begin)
      return error(ErrorCode::kCorrupt, "has data of another size than its shape says");
    view.bytes = *bytes;
    return entry;
  }

 private:
  Result<DType> dtype() const {
    const auto* word = object_->if_contains("dtype");
    if (word == nullptr || !word->is_string()) return error(ErrorCode::kCorrupt, "has no dtype");
    const std::string_view text(word->get_string().data(), word->get_string().size());
    auto type = dtype_from_name(text);
    // Names of quantised types are ours, not the format's.
    if (!type || block_shape(*type).values != 1)
      return error(ErrorCode::kUnsupported,
                   "is of dtype " + quote_name(text) + ", which is not supported");
    return *type;
  }

  Result<Shape> shape() const {
    const auto* word = object_->if_contains("shape");
    const auto* dims = word != nullptr ? word->if_array() : nullptr;
    if (dims == nullptr || dims->size() > kGgufMaxDims)
      return error(ErrorCode::kCorrupt, "has no shape of at most 4 dimensions");
    Shape out;
    out.rank = std::max(1, static_cast<int>(dims->size()));  // no dimensions: one value
    for (size_t i = 0; i < dims->size(); ++i) {
      const auto dim = number((*dims)[i]);
      if (!dim || *dim == 0 || *dim > static_cast<uint64_t>(INT64_MAX))
        return error(ErrorCode::kCorrupt, "has an impossible dimension");
      out.dims[i] = static_cast<int64_t>(*dim);
    }
    return out;
  }

  Result<void> offsets(Entry& entry) const {
    const auto* word = object_->if_contains("data_offsets");
    const auto* pair = word != nullptr ? word->if_array() : nullptr;
    if (pair == nullptr || pair->size() != 2)
      return error(ErrorCode::kCorrupt, "has no pair of data_offsets");
    const auto begin = number((*pair)[0]), end = number((*pair)[1]);
    if (!begin || !end || *begin > *end)
      return error(ErrorCode::kCorrupt, "has impossible data_offsets");
    entry.begin = *begin;
    entry.end = *end;
    return {};
  }

  // Whole and not negative.
  static std::optional<uint64_t> number(const boost::json::value& value) {
    if (const auto* u = value.if_uint64()) return *u;
    if (const auto* i = value.if_int64(); i != nullptr && *i >= 0) return static_cast<uint64_t>(*i);
    return std::nullopt;
  }

  std::unexpected<Error> error(ErrorCode code, const std::string& message) const {
    return fail(code, "tensor " + quote_name(name_) + " " + message, label_,
                code == ErrorCode::kCorrupt ? kFetchAgain : "take a variant in BF16, F16 or F32");
  }

  std::string_view name_;
  const boost::json::object* object_;
  const std::string& label_;
};

// Data must be covered exactly. This also refuses a header that lists a name twice: a JSON object
// keeps one of the two, and the other leaves a hole.
Result<void> check_cover(std::vector<Entry>& entries, uint64_t data_bytes,
                         const std::string& label) {
  std::ranges::sort(entries, {}, &Entry::begin);
  uint64_t covered = 0;
  for (const auto& e : entries) {
    if (e.begin != covered) {
      return fail(ErrorCode::kCorrupt,
                  "tensor " + quote_name(e.tensor.name) + " starts at " + std::to_string(e.begin) +
                      " of the data, not at " + std::to_string(covered) +
                      " where the one before it ends",
                  label, kFetchAgain);
    }
    covered = e.end;
  }
  if (covered == data_bytes) return {};
  return fail(ErrorCode::kCorrupt,
              "its tensors take " + std::to_string(covered) + " bytes, but it has " +
                  std::to_string(data_bytes) + " bytes of data",
              label, kFetchAgain);
}

}  // namespace

Result<std::vector<NamedTensor>> parse_safetensors(std::span<const std::byte> bytes,
                                                   const std::string& label) {
  ByteReader in(bytes, label);
  XH_TRY(const auto header_bytes, in.read<uint64_t>("header length"));
  if (header_bytes > kMaxHeaderBytes) {
    return in.error_at(0,
                       header_bytes > in.remaining() ? ErrorCode::kCorrupt : ErrorCode::kTooLarge,
                       "header length: " + std::to_string(header_bytes) + " is over the limit of " +
                           std::to_string(kMaxHeaderBytes),
                       kFetchAgain);
  }
  XH_TRY(const auto header, in.take(header_bytes, "header"));
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  BudgetedMemory memory(kJsonMemory);
  XH_TRY(const boost::json::value root, parse_json(text, label, 8, memory));
  const auto* object = root.if_object();
  if (object == nullptr) {
    return in.error_at(8, ErrorCode::kCorrupt, "the header is not a JSON object", kFetchAgain);
  }

  std::vector<Entry> entries;
  for (const auto& [key, value] : *object) {
    const std::string_view name(key.data(), key.size());
    if (name == "__metadata__") continue;
    XH_TRY(auto entry, EntryParser(name, value, label).run());
    entries.push_back(std::move(entry));
  }
  XH_TRY_VOID(check_cover(entries, in.remaining(), label));

  const auto data = bytes.subspan(in.offset());
  std::vector<NamedTensor> tensors;
  tensors.reserve(entries.size());
  for (auto& e : entries) {
    e.tensor.view.data = data.data() + e.begin;
    tensors.push_back(std::move(e.tensor));
  }
  return tensors;
}

}  // namespace xh
