#include "weights/hf_folder.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>

#include "base/quote.h"
#include "weights/bounded_json.h"
#include "weights/safetensors.h"

namespace xh {
namespace {

constexpr size_t kJsonMemory = 48ull << 20;
constexpr uint64_t kMaxJsonBytes = 32ull << 20;
constexpr size_t kMaxShards = 9999;

std::string_view view_of(const boost::json::string& text) {
  return {text.data(), text.size()};
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// Parses a JSON file of the folder and hands its top-level object to `use`.
Result<void> with_json(const std::string& path,
                       const std::function<Result<void>(const boost::json::object&)>& use) {
  XH_TRY(auto file, MappedFile::open(path));
  if (file.bytes().size() > kMaxJsonBytes)
    return fail(ErrorCode::kTooLarge, "larger than such a file can be", path);
  BudgetedMemory memory(kJsonMemory);
  XH_TRY(const boost::json::value root, parse_json(text_of(file), path, 0, memory));
  if (!root.is_object()) return fail(ErrorCode::kCorrupt, "is not a JSON object", path);
  return use(root.get_object());
}

template <class T, class Convert>
std::vector<T> array_of(const boost::json::array& array, Convert convert) {
  std::vector<T> out;
  out.reserve(array.size());
  for (const auto& x : array) out.push_back(convert(x));
  return out;
}

// config.json → flat keys. Keys repeat the names of the objects around them, so what they take is
// counted: a small file must not become a large map.
class Flattener {
 public:
  explicit Flattener(Metadata& out) : out_(out) {}

  // False when the budget is used up. Depth is bounded by the JSON parser's limit.
  bool add(const std::string& prefix, const boost::json::object& object) {
    for (const auto& [name, value] : object) {
      const uint64_t bytes = prefix.size() + 1 + name.size() + 128;
      if (bytes > left_) return false;
      left_ -= bytes;
      const std::string key = prefix + "." + std::string(name.data(), name.size());
      if (const auto* inner = value.if_object(); inner != nullptr && !add(key, *inner))
        return false;
      if (const auto* array = value.if_array()) add_array(key, *array);
      if (const auto* text = value.if_string()) out_.set(key, std::string(view_of(*text)));
      if (const auto* flag = value.if_bool()) out_.set(key, *flag);
      if (const auto* number = value.if_int64()) out_.set(key, *number);
      if (const auto* number = value.if_uint64()) out_.set(key, *number);
      if (const auto* number = value.if_double()) out_.set(key, *number);
    }
    return true;
  }

 private:
  void add_array(const std::string& key, const boost::json::array& array) {
    using boost::json::value;
    auto all = [&](auto test) {
      return !array.empty() && std::all_of(array.begin(), array.end(), test);
    };
    if (all([](const value& x) { return x.is_string(); })) {
      out_.set(key, array_of<std::string>(array, [](const value& x) {
                 return std::string(view_of(x.get_string()));
               }));
    } else if (all([](const value& x) { return x.is_bool(); })) {
      out_.set(key, array_of<bool>(array, [](const value& x) { return x.get_bool(); }));
    } else if (all([](const value& x) { return x.is_int64(); })) {
      out_.set(key, array_of<int64_t>(array, [](const value& x) { return x.get_int64(); }));
    } else if (all([](const value& x) { return x.is_number(); })) {
      out_.set(key, array_of<double>(array, [](const value& x) { return x.to_number<double>(); }));
    }
  }

  Metadata& out_;
  uint64_t left_ = 8ull << 20;
};

// A plain file name: an index must not lead out of its folder.
bool is_plain_name(std::string_view name) {
  auto allowed = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 255 && name[0] != '.' &&
         std::ranges::all_of(name, allowed);
}

// Tensor name → file name.
using WeightMap = std::map<std::string, std::string, std::less<>>;

Result<WeightMap> read_index(const std::string& path) {
  WeightMap out;
  auto read = with_json(path, [&](const boost::json::object& root) -> Result<void> {
    const auto* found = root.if_contains("weight_map");
    const auto* map = found != nullptr ? found->if_object() : nullptr;
    if (map == nullptr) return fail(ErrorCode::kCorrupt, "has no 'weight_map'", path);
    for (const auto& [tensor, file] : *map) {
      if (!file.is_string() || !is_plain_name(view_of(file.get_string()))) {
        return fail(ErrorCode::kCorrupt,
                    "tensor " + quote_name({tensor.data(), tensor.size()}) +
                        " is said to be in something that is not a plain file name",
                    path);
      }
      out.emplace(std::string_view(tensor.data(), tensor.size()), view_of(file.get_string()));
    }
    return {};
  });
  if (!read) return std::unexpected(std::move(read).error());
  return out;
}

Result<void> add_file(const std::string& path, HfFolder& out) {
  XH_TRY(auto file, MappedFile::open(path));
  XH_TRY(auto tensors, parse_safetensors(file.bytes(), path));
  std::move(tensors.begin(), tensors.end(), std::back_inserter(out.tensors));
  out.mappings.push_back(std::move(file));
  return {};
}

Result<void> add_indexed_files(const std::string& folder, const std::string& index, HfFolder& out) {
  XH_TRY(const WeightMap map, read_index(index));
  std::vector<std::string> files;
  for (const auto& [tensor, file] : map) files.push_back(file);
  std::ranges::sort(files);
  files.erase(std::unique(files.begin(), files.end()), files.end());
  if (files.size() > kMaxShards)
    return fail(ErrorCode::kTooLarge, "lists more than 9999 files", index);
  for (const auto& file : files) {
    const size_t first = out.tensors.size();
    XH_TRY_VOID(add_file(folder + "/" + file, out));
    for (size_t i = first; i < out.tensors.size(); ++i) {
      auto listed = map.find(out.tensors[i].name);
      if (listed == map.end() || listed->second != file) {
        return fail(ErrorCode::kCorrupt,
                    "holds tensor " + quote_name(out.tensors[i].name) +
                        ", which the index does not place there",
                    folder + "/" + file);
      }
    }
  }
  if (out.tensors.size() != map.size()) {
    return fail(ErrorCode::kCorrupt,
                "lists " + std::to_string(map.size()) + " tensors, the files hold " +
                    std::to_string(out.tensors.size()),
                index, "fetch the model again");
  }
  return {};
}

}  // namespace

Result<HfFolder> open_hf_folder(const std::string& folder) {
  HfFolder out;
  XH_TRY_VOID(
      with_json(folder + "/config.json", [&](const boost::json::object& root) -> Result<void> {
        if (Flattener(out.metadata).add("hf", root)) return {};
        return fail(ErrorCode::kTooLarge, "holds more than a configuration can",
                    folder + "/config.json");
      }));
  const std::string index = folder + "/model.safetensors.index.json";
  std::error_code ignored;
  if (std::filesystem::exists(index, ignored)) {
    XH_TRY_VOID(add_indexed_files(folder, index, out));
  } else {
    XH_TRY_VOID(add_file(folder + "/model.safetensors", out));
  }
  return out;
}

}  // namespace xh
