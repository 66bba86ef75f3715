#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "compute/cpu/pack_cache.h"
#include "compute/cpu/pack_digest.h"

namespace xh::cpu {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

fs::path cache_folder() {
  if (const auto home = environment("XIAOHU_HOME"); !home.empty()) return fs::path(home) / "packs";
  if (const auto cache = environment("XDG_CACHE_HOME"); cache.starts_with("/"))
    return fs::path(cache) / "xiaohu";
  if (const auto home = environment("HOME"); !home.empty()) return fs::path(home) / ".cache/xiaohu";
  return {};
}

}  // namespace

PackCacheOptions pack_cache_options(std::vector<WeightFile> sources) {
  PackCacheOptions options;
  const std::string chosen = environment("XIAOHU_PACK_CACHE");
  if (sources.empty() || chosen == "off") return options;
  std::error_code error;
  fs::path model = fs::canonical(sources.front().path, error);
  if (error) return options;
  options.sources = std::move(sources);

  const std::string name = model.filename().string();
  // In a folder for many models, models of one name differ by where they lie.
  const std::string where = model.string();
  char tag[24];
  std::snprintf(tag, sizeof tag, "-%016llx",
                static_cast<unsigned long long>(pack_digest(std::as_bytes(std::span(where)))));
  const std::string tagged = name + tag + ".xhpack";
  if (!chosen.empty()) {
    options.places = {(fs::path(chosen) / tagged).string()};
    return options;
  }
  options.places = {(model.parent_path() / (name + ".xhpack")).string()};
  if (const auto folder = cache_folder(); !folder.empty())
    options.places.push_back((folder / tagged).string());
  return options;
}

}  // namespace xh::cpu
