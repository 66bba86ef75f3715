// A model folder as Hugging Face lays it out: config.json, and model.safetensors or several files
// listed in model.safetensors.index.json. ModelFile::open() comes here when its path is a folder.
#pragma once

#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "weights/metadata.h"
#include "weights/model_file.h"

namespace xh {

struct HfFolder {
  // Every fact of config.json as "hf.KEY", inner objects as "hf.OUTER.INNER". Arrays of one kind
  // are kept; null, empty and mixed arrays are left out.
  Metadata metadata;
  std::vector<NamedTensor> tensors;  // (out, in), as stored; views point into the mappings
  std::vector<MappedFile> mappings;
};

// Files named by the index must lie in the folder itself. Errors name the file.
Result<HfFolder> open_hf_folder(const std::string& folder);

}  // namespace xh
