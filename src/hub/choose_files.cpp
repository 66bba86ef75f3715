#include <fmt/core.h>

#include <algorithm>

#include "hub/remote.h"
#include "hub/safe_name.h"

namespace xh::hub {
namespace {

constexpr const char* kPreferred = "q4_k_m";  // small, and close to the original
constexpr size_t kListed = 24;

bool is_model_file(const RepoFile& file) {
  const std::string name = lower_case(base_name(file.path));
  // Vision projectors and importance matrices are no models by themselves.
  return name.ends_with(".gguf") && !name.starts_with("mmproj") &&
         name.find("imatrix") == std::string::npos;
}

// The parts of a split file count as one; the first part stands for all.
bool is_later_part(const RepoFile& file) {
  SplitName split;
  return parse_split_name(file.path, split) && split.index > 1;
}

std::string listing(const std::vector<RepoFile>& files) {
  std::string out;
  for (size_t i = 0; i < std::min(files.size(), kListed); ++i)
    out += fmt::format("\n    {}  ({:.1f} GB)", files[i].path,
                       static_cast<double>(files[i].bytes) / 1e9);
  if (files.size() > kListed) out += fmt::format("\n    and {} more", files.size() - kListed);
  return out;
}

std::vector<RepoFile> containing(const std::vector<RepoFile>& files, const std::string& part) {
  const std::string wanted = lower_case(part);
  std::vector<RepoFile> out;
  for (const auto& file : files) {
    if (lower_case(file.path).find(wanted) != std::string::npos) out.push_back(file);
  }
  return out;
}

// "Q4_K" must not be taken for "Q4_K_M": among several matches one that ends there wins.
std::vector<RepoFile> ending(const std::vector<RepoFile>& files, const std::string& part) {
  const std::string wanted = lower_case(part);
  std::vector<RepoFile> out;
  for (const auto& file : files) {
    if (SplitName split; parse_split_name(file.path, split)
                             ? lower_case(split.stem).ends_with(wanted)
                             : lower_case(file.path).ends_with(wanted + ".gguf"))
      out.push_back(file);
  }
  return out;
}

Result<RepoFile> choose_one(const std::vector<RepoFile>& files, const std::string& wanted,
                            const std::string& where) {
  if (files.empty())
    return fail(ErrorCode::kNotFound, "holds no .gguf file", where,
                "Look for a repository whose name ends in -GGUF.");
  for (const auto& file : files) {
    if (file.path == wanted) return file;
  }
  auto found = wanted.empty() ? files : containing(files, wanted);
  if (found.size() > 1) {
    const auto exact = ending(found, wanted.empty() ? kPreferred : wanted);
    if (exact.size() == 1) return exact.front();
  }
  if (found.size() == 1) return found.front();
  if (found.empty())
    return fail(ErrorCode::kNotFound, fmt::format("holds no file like \"{}\"", wanted), where,
                "It holds:" + listing(files));
  return fail(ErrorCode::kInvalidArgument, "holds several models", where,
              "Add :FILE, or a part of a name that singles one out, like :Q8_0. It holds:" +
                  listing(found));
}

}  // namespace

Result<std::vector<RepoFile>> choose_files(std::vector<RepoFile> all, const std::string& wanted,
                                           const std::string& where) {
  std::erase_if(all, [](const RepoFile& file) { return !is_model_file(file); });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  std::vector<RepoFile> heads;
  std::copy_if(all.begin(), all.end(), std::back_inserter(heads),
               [](const auto& f) { return !is_later_part(f); });
  XH_TRY(const RepoFile head, choose_one(heads, wanted, where));

  std::vector<RepoFile> chosen;
  if (SplitName first; parse_split_name(head.path, first)) {
    for (const auto& file : all) {
      SplitName part;
      if (parse_split_name(file.path, part) && part.stem == first.stem && part.count == first.count)
        chosen.push_back(file);
    }
    if (chosen.size() != static_cast<size_t>(first.count))
      return fail(
          ErrorCode::kCorrupt,
          fmt::format("holds {} of the {} parts of {}", chosen.size(), first.count, first.stem),
          where);
  } else {
    chosen.push_back(head);
  }
  for (const auto& file : chosen) {
    XH_TRY_VOID(check_relative_path(file.path, where));
    if (!file.sha256.empty() && !is_sha256_hex(file.sha256))
      return fail(ErrorCode::kCorrupt, "states a SHA-256 that is none", where);
  }
  return chosen;
}

}  // namespace xh::hub
