// The models kept in the data folder.
//
//   HOME/models/NAME/manifest.json   where it came from, its files with sizes and SHA-256
//   HOME/models/NAME/FILE.gguf …
//   HOME/models/.partial/NAME/       a pull that is under way, or was interrupted
//
// A model appears by the rename of its complete folder, so that what is listed is whole.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace xh::hub {

struct StoredFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;
};

struct StoredModel {
  std::string name;
  std::string source;             // as given to pull
  std::string licence;            // may be empty
  std::string pulled_at;          // "2026-11-23T14:20:26Z"
  bool verified = false;          // the digest was stated by catalogue or hub, and held
  std::vector<StoredFile> files;  // the one to open first
  std::filesystem::path folder;

  std::filesystem::path path() const { return folder / files.front().name; }
  uint64_t bytes() const;
};

// Holds no state beside the folder's name; several processes may use one folder.
class ModelStore {
 public:
  // Makes nothing yet. kInvalidArgument when no data folder is known.
  static Result<ModelStore> open(const std::filesystem::path& home);

  // By name. A folder whose manifest cannot be read is told in `damaged`, never an error.
  std::vector<StoredModel> list(std::vector<Error>* damaged = nullptr) const;
  Result<StoredModel> find(std::string_view name) const;  // kNotFound with a remedy
  Result<void> remove(std::string_view name) const;

  // A name kept here, or the path of a file: what --model takes.
  Result<std::filesystem::path> resolve(std::string_view name_or_path) const;

  // The folder in which a pull of `name` grows; made when absent.
  Result<std::filesystem::path> staging(std::string_view name) const;
  // Names of unfinished pulls, and the bytes they hold.
  std::vector<std::pair<std::string, uint64_t>> partial() const;
  Result<void> clear_partial() const;
  // Removes a staged folder that holds no file to go on with.
  void drop_empty_staging(std::string_view name) const;

  // Makes the staged folder the model; an older one of that name goes. Fills `folder`.
  Result<StoredModel> commit(StoredModel model) const;

  const std::filesystem::path& models() const { return models_; }

 private:
  explicit ModelStore(std::filesystem::path models) : models_(std::move(models)) {}
  Result<StoredModel> read(const std::string& name) const;

  std::filesystem::path models_;
};

std::string utc_now();

}  // namespace xh::hub
