// The model families: each turns a file's metadata into a spec. One file per family, one line in
// families.cpp.
#pragma once

#include <string_view>
#include <vector>

#include "model/spec.h"
#include "weights/model_file.h"

namespace xh {

using SpecReader = Result<ModelSpec> (*)(const ModelFile& file);

Result<ModelSpec> llama_spec(const ModelFile& file);
Result<ModelSpec> qwen2_spec(const ModelFile& file);
Result<ModelSpec> qwen3_spec(const ModelFile& file);

// Finds the family by general.architecture and reads and validates the spec.
Result<ModelSpec> read_spec(const ModelFile& file);
std::vector<std::string_view> known_architectures();

// What all families share: the keys `ARCH.block_count`, `ARCH.attention.head_count` and so on, a
// stack of equal layers, RoPE with its scaling. Families adjust the result.
Result<ModelSpec> read_plain_spec(const ModelFile& file, bool interleaved_rope);

}  // namespace xh
