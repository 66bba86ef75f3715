#include "weights/model_file.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iterator>
#include <new>

#include "base/quote.h"
#include "weights/gguf_format.h"
#include "weights/gguf_reader.h"
#include "weights/hf_folder.h"

namespace xh {
namespace {

// The parts of a split set are called PREFIX-00001-of-00003.gguf and lie in one folder.
std::string part_suffix(int64_t part, int64_t n_parts) {
  char text[64];
  std::snprintf(text, sizeof(text), "-%05lld-of-%05lld.gguf", static_cast<long long>(part),
                static_cast<long long>(n_parts));
  return text;
}

struct SplitInfo {
  int64_t n_parts = 1;
  int64_t index = 0;  // from 0
};

// A whole number from the metadata; its errors name the file.
Result<int64_t> split_number(const Metadata& metadata, const char* key, int64_t fallback,
                             const std::string& label) {
  auto number = metadata.get_int_or(key, fallback);
  if (!number) number.error().where = label;
  return number;
}

Result<SplitInfo> split_info(const Metadata& metadata, const std::string& label) {
  SplitInfo info;
  XH_TRY(info.n_parts, split_number(metadata, "split.count", 1, label));
  XH_TRY(info.index, split_number(metadata, "split.no", 0, label));
  if (info.n_parts == 0) info.n_parts = 1;  // written by some tools for a whole model
  if (info.n_parts < 1 || info.n_parts > kGgufMaxParts || info.index < 0 ||
      info.index >= info.n_parts) {
    return fail(ErrorCode::kCorrupt,
                "'split.no' " + std::to_string(info.index) + " of 'split.count' " +
                    std::to_string(info.n_parts) + " is impossible",
                label);
  }
  return info;
}

}  // namespace

// Builds a ModelFile out of one or more parsed parts.
struct GgufLoader {
  ModelFile out;
  ParseBudget budget;

  Result<GgufPart> read_part(std::span<const std::byte> bytes, const std::string& label) {
    out.file_bytes_ += bytes.size();
    return parse_gguf(bytes, label, budget);
  }

  void append(std::vector<NamedTensor> tensors) {
    std::move(tensors.begin(), tensors.end(), std::back_inserter(out.tensors_));
  }

  Result<void> open_others(const std::string& first_path, int64_t n_parts) {
    const std::string suffix = part_suffix(1, n_parts);
    if (!first_path.ends_with(suffix)) {
      return fail(ErrorCode::kInvalidArgument,
                  "the first of " + std::to_string(n_parts) +
                      " parts, but its name does not end in " + suffix,
                  first_path, "give the parts their original names");
    }
    const std::string prefix = first_path.substr(0, first_path.size() - suffix.size());
    for (int64_t i = 1; i < n_parts; ++i) {
      const std::string path = prefix + part_suffix(i + 1, n_parts);
      auto file = MappedFile::open(path);
      if (!file) {
        file.error().message = "part " + std::to_string(i + 1) + " of " + std::to_string(n_parts) +
                               ": " + file.error().message;
        return std::unexpected(std::move(file).error());
      }
      XH_TRY(auto part, read_part(file->bytes(), path));
      XH_TRY(auto info, split_info(part.metadata, path));
      if (info.index != i || info.n_parts != n_parts) {
        return fail(ErrorCode::kCorrupt,
                    "says it is part " + std::to_string(info.index + 1) + " of " +
                        std::to_string(info.n_parts) + ", not " + std::to_string(i + 1) + " of " +
                        std::to_string(n_parts),
                    path, "fetch the set again");
      }
      append(std::move(part.tensors));
      out.mappings_.push_back(std::move(*file));
    }
    return {};
  }

  Result<ModelFile> finish() {
    XH_TRY(auto announced, split_number(out.metadata_, "split.tensors.count", -1, out.path_));
    if (announced >= 0 && static_cast<uint64_t>(announced) != out.tensors_.size()) {
      return fail(ErrorCode::kCorrupt,
                  "'split.tensors.count' announces " + std::to_string(announced) +
                      " tensors, but there are " + std::to_string(out.tensors_.size()),
                  out.path_, "fetch the set again");
    }
    std::ranges::sort(out.tensors_, std::less<>{}, &NamedTensor::name);
    auto twin = std::ranges::adjacent_find(out.tensors_, std::equal_to<>{}, &NamedTensor::name);
    if (twin != out.tensors_.end())
      return fail(ErrorCode::kCorrupt, "duplicate tensor " + quote_name(twin->name), out.path_);
    return std::move(out);
  }

  Result<ModelFile> load_folder(const std::string& folder) {
    XH_TRY(auto opened, open_hf_folder(folder));
    out.path_ = folder;
    out.metadata_ = std::move(opened.metadata);
    out.tensors_ = std::move(opened.tensors);
    out.mappings_ = std::move(opened.mappings);
    for (const auto& file : out.mappings_) out.file_bytes_ += file.bytes().size();
    return finish();
  }

  Result<ModelFile> load(std::span<const std::byte> bytes, const std::string& label, bool on_disk) {
    out.path_ = label;
    XH_TRY(auto first, read_part(bytes, label));
    XH_TRY(auto info, split_info(first.metadata, label));
    if (info.index != 0) {
      return fail(ErrorCode::kInvalidArgument,
                  "this is part " + std::to_string(info.index + 1) + " of a split model", label,
                  "open the file that ends in " + part_suffix(1, info.n_parts));
    }
    out.version_ = first.version;
    out.metadata_ = std::move(first.metadata);
    out.tensors_ = std::move(first.tensors);
    if (info.n_parts > 1 && !on_disk) {
      return fail(ErrorCode::kUnsupported, "a split model cannot be read from memory", label,
                  "open it by its path");
    }
    if (info.n_parts > 1) XH_TRY_VOID(open_others(label, info.n_parts));
    return finish();
  }
};

namespace {

// Allocation is bounded by ParseBudget; a machine that is out of memory all the same is an error
// like any other.
template <class Load>
Result<ModelFile> guarded(const std::string& label, Load load) {
  try {
    return load();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kOutOfMemory, "not enough memory to read the model's metadata", label);
  }
}

}  // namespace

Result<ModelFile> ModelFile::open(const std::string& path) {
  return guarded(path, [&]() -> Result<ModelFile> {
    GgufLoader loader;
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) return loader.load_folder(path);
    XH_TRY(auto file, MappedFile::open(path));
    loader.out.mappings_.push_back(std::move(file));
    return loader.load(loader.out.mappings_.front().bytes(), path, true);
  });
}

Result<ModelFile> ModelFile::parse(std::span<const std::byte> bytes, const std::string& label) {
  return guarded(label, [&] { return GgufLoader().load(bytes, label, false); });
}

const TensorView* ModelFile::find(std::string_view name) const {
  auto it = std::ranges::lower_bound(tensors_, name, std::less<>{}, &NamedTensor::name);
  return it != tensors_.end() && it->name == name ? &it->view : nullptr;
}

Result<TensorView> ModelFile::tensor(std::string_view name) const {
  if (const TensorView* view = find(name)) return *view;
  return fail(ErrorCode::kNotFound, "the model has no tensor " + quote_name(name), path_,
              "the file may be incomplete or of an unsupported variant");
}

void ModelFile::release(const TensorView& view) const {
  for (const auto& file : mappings_) {
    const auto bytes = file.bytes();
    if (view.data >= bytes.data() && view.data < bytes.data() + bytes.size())
      file.release_pages({view.data, view.bytes});
  }
}

}  // namespace xh
