// A model on disk: metadata and named tensors, mapped and fully checked before anything is used.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "tensor/tensor_view.h"
#include "weights/metadata.h"

namespace xh {

struct NamedTensor {
  std::string name;
  TensorView view;  // (out, in) for matrices: GGUF's dimensions reversed
};

// Immutable after open(); owns the mappings its views point into. Safe to read from any thread.
class ModelFile {
 public:
  // Opens a GGUF (v2, v3; the first file of a split set finds the others beside it).
  // A folder with config.json and safetensors files opens too: version() is 0, the keys are "hf.…"
  // (hf_folder.h), tensors keep their names and may lie at addresses not aligned for their type.
  // Errors name the file, the offset and the field.
  static Result<ModelFile> open(const std::string& path);
  // The same parser on bytes in memory, for tests and fuzzing. Bytes must outlive the result.
  static Result<ModelFile> parse(std::span<const std::byte> bytes, const std::string& label);

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  uint64_t file_bytes() const { return file_bytes_; }                 // of all parts
  const std::vector<MappedFile>& files() const { return mappings_; }  // none after parse()
  const Metadata& metadata() const { return metadata_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }  // sorted by name
  const TensorView* find(std::string_view name) const;
  // find(), or kNotFound that names the tensor and the file.
  Result<TensorView> tensor(std::string_view name) const;
  // Lets the kernel drop the pages behind a tensor that has been packed elsewhere.
  void release(const TensorView& view) const;

 private:
  friend struct GgufLoader;
  std::string path_;
  uint32_t version_ = 0;
  uint64_t file_bytes_ = 0;
  Metadata metadata_;
  std::vector<NamedTensor> tensors_;
  std::vector<MappedFile> mappings_;
};

}  // namespace xh
