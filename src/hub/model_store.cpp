#include "hub/model_store.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "hub/catalogue.h"
#include "hub/file_io.h"
#include "hub/json_fields.h"
#include "hub/safe_name.h"

namespace xh::hub {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr const char* kManifest = "manifest.json";
constexpr size_t kMaxManifestBytes = 4 << 20;
constexpr uint64_t kManifestFormat = 1;

Result<StoredModel> parse_manifest(std::string_view text, const fs::path& path) {
  const std::string where = path.string();
  XH_TRY(const auto root, parse_json_object(text, where));
  if (size_field(root, "format") != kManifestFormat)
    return fail(ErrorCode::kUnsupported, "was written by another version of xiaohu", where,
                "Pull the model again.");
  StoredModel out;
  out.source = string_field(root, "source");
  out.licence = string_field(root, "licence");
  out.pulled_at = string_field(root, "pulled_at");
  const auto* verified = root.if_contains("verified");
  out.verified = verified != nullptr && verified->is_bool() && verified->as_bool();
  const auto* files = array_field(root, "files");
  if (files == nullptr || files->empty())
    return fail(ErrorCode::kCorrupt, "names no files", where, "Pull the model again.");
  for (const auto& value : *files) {
    const auto* object = value.if_object();
    if (object == nullptr)
      return fail(ErrorCode::kCorrupt, "a file is not an object", where, "Pull the model again.");
    StoredFile file{string_field(*object, "name"), size_field(*object, "bytes"),
                    string_field(*object, "sha256")};
    if (!is_safe_component(file.name) || !is_sha256_hex(file.sha256))
      return fail(ErrorCode::kCorrupt, "a file's name or digest cannot be right", where,
                  "Pull the model again.");
    out.files.push_back(std::move(file));
  }
  return out;
}

std::string manifest_of(const StoredModel& model) {
  json::array files;
  for (const auto& file : model.files)
    files.push_back(
        json::object{{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  const json::object root = {{"format", kManifestFormat},  {"name", model.name},
                             {"source", model.source},     {"licence", model.licence},
                             {"verified", model.verified}, {"pulled_at", model.pulled_at},
                             {"files", std::move(files)}};
  return json::serialize(root) + "\n";
}

Result<void> remove_folder(const fs::path& folder) {
  std::error_code code;
  fs::remove_all(folder, code);
  if (!code) return {};
  errno = code.value();
  return std::unexpected(system_error("remove", folder));
}

std::vector<std::string> folder_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    if (it->is_directory(code)) names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Earlier tries may have left parts of other files, logs, archives.
void drop_leftovers(const fs::path& folder, const StoredModel& model) {
  std::vector<fs::path> others;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    const std::string name = it->path().filename().string();
    if (std::none_of(model.files.begin(), model.files.end(),
                     [&](const auto& file) { return file.name == name; }))
      others.push_back(it->path());
  }
  for (const auto& other : others) fs::remove_all(other, code);
}

uint64_t folder_bytes(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end;
       it.increment(code)) {
    if (it->is_regular_file(code)) bytes += it->file_size(code);
  }
  return bytes;
}

}  // namespace

uint64_t StoredModel::bytes() const {
  uint64_t sum = 0;
  for (const auto& file : files) sum += file.bytes;
  return sum;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Result<ModelStore> ModelStore::open(const fs::path& home) {
  if (home.empty())
    return fail(ErrorCode::kInvalidArgument, "no data folder is known", "models",
                "Set XIAOHU_HOME=/path or HOME.");
  return ModelStore(fs::absolute(home) / "models");
}

Result<StoredModel> ModelStore::read(const std::string& name) const {
  const fs::path folder = models_ / name, manifest = folder / kManifest;
  XH_TRY(const std::string text, read_small_file(manifest, kMaxManifestBytes));
  XH_TRY(StoredModel model, parse_manifest(text, manifest));
  model.name = name;
  model.folder = folder;
  for (const auto& file : model.files) {
    struct stat status {};
    if (stat((folder / file.name).c_str(), &status) != 0)
      return std::unexpected(system_error("find", folder / file.name));
    if (static_cast<uint64_t>(status.st_size) != file.bytes)
      return fail(ErrorCode::kCorrupt,
                  fmt::format("has {} bytes instead of {}", status.st_size, file.bytes),
                  (folder / file.name).string(), "Pull the model again with --force.");
  }
  return model;
}

std::vector<StoredModel> ModelStore::list(std::vector<Error>* damaged) const {
  std::vector<StoredModel> out;
  for (const auto& name : folder_names(models_)) {
    if (!is_model_name(name)) continue;
    auto model = read(name);
    if (model) {
      out.push_back(std::move(*model));
    } else if (damaged != nullptr) {
      damaged->push_back(std::move(model.error()));
    }
  }
  return out;
}

Result<StoredModel> ModelStore::find(std::string_view name) const {
  std::error_code code;
  if (is_model_name(name) && fs::exists(models_ / name, code)) return read(std::string(name));
  const bool known = builtin_catalogue().find(name) != nullptr;
  return fail(ErrorCode::kNotFound, "no such model is kept here",
              "model \"" + std::string(name.substr(0, 200)) + "\"",
              known ? fmt::format("Fetch it: xiaohu pull {}", name)
                    : "`xiaohu list` shows what is here, `xiaohu list --catalogue` what can be "
                      "fetched by name.");
}

Result<void> ModelStore::remove(std::string_view name) const {
  std::error_code code;
  if (!is_model_name(name) || !fs::exists(models_ / name, code)) {
    XH_TRY_VOID(find(name));  // says what is wrong
    return {};
  }
  // Out of sight first: an interrupted removal must not leave half a model in the list.
  XH_TRY(const fs::path aside, staging(name));
  XH_TRY_VOID(remove_folder(aside));
  XH_TRY_VOID(rename_flushed(models_ / name, aside));
  return remove_folder(aside);
}

Result<fs::path> ModelStore::resolve(std::string_view name_or_path) const {
  std::error_code code;
  const fs::path as_path(name_or_path);
  const bool looks_like_path =
      name_or_path.find('/') != std::string_view::npos || as_path.extension() == ".gguf";
  if (looks_like_path || (!is_model_name(name_or_path) && fs::exists(as_path, code))) {
    if (fs::exists(as_path, code)) return as_path;
    return fail(ErrorCode::kNotFound, "there is no such file", std::string(name_or_path),
                "Check the path; a model kept here goes by its name.");
  }
  XH_TRY(const StoredModel model, find(name_or_path));
  return model.path();
}

Result<fs::path> ModelStore::staging(std::string_view name) const {
  if (!is_model_name(name))
    return fail(ErrorCode::kInvalidArgument, "is not a name for a model",
                "\"" + std::string(name.substr(0, 200)) + "\"",
                "Use a-z, 0-9, '.', '_' and '-', beginning with a letter or digit.");
  const fs::path folder = models_ / ".partial" / name;
  XH_TRY_VOID(make_folder(folder));
  return folder;
}

std::vector<std::pair<std::string, uint64_t>> ModelStore::partial() const {
  std::vector<std::pair<std::string, uint64_t>> out;
  for (const auto& name : folder_names(models_ / ".partial"))
    out.emplace_back(name, folder_bytes(models_ / ".partial" / name));
  return out;
}

Result<void> ModelStore::clear_partial() const {
  return remove_folder(models_ / ".partial");
}

void ModelStore::drop_empty_staging(std::string_view name) const {
  const fs::path staged = models_ / ".partial" / name;
  std::error_code code;  // remove() takes empty folders only
  std::vector<fs::path> inside;
  for (const auto& entry : fs::directory_iterator(staged, code))
    if (entry.is_directory(code)) inside.push_back(entry.path());
  for (const auto& folder : inside) fs::remove(folder, code);
  fs::remove(staged, code);
}

Result<StoredModel> ModelStore::commit(StoredModel model) const {
  XH_TRY(const fs::path staged, staging(model.name));
  drop_leftovers(staged, model);
  XH_TRY_VOID(write_small_file(staged / kManifest, manifest_of(model)));
  const fs::path place = models_ / model.name;
  std::error_code code;
  if (fs::exists(place, code)) {
    const fs::path old = models_ / ".partial" / (model.name + ".old");
    XH_TRY_VOID(remove_folder(old));
    XH_TRY_VOID(rename_flushed(place, old));
    XH_TRY_VOID(rename_flushed(staged, place));
    XH_TRY_VOID(remove_folder(old));
  } else {
    XH_TRY_VOID(rename_flushed(staged, place));
  }
  model.folder = place;
  return model;
}

}  // namespace xh::hub
