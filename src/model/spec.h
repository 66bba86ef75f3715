// What a decoder-only transformer is, as data. A family turns a file's metadata into one of these;
// the decoder runs it. What a spec cannot say becomes a new field, or a file in blocks/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compute/compute.h"

namespace xh {

enum class QkNorm : uint8_t { kNone, kPerHead };

// softmax(q·kᵀ)·v with grouped heads, between a pre-norm and an output projection.
struct AttentionSpec {
  int32_t n_heads = 0;
  int32_t n_kv_heads = 0;
  int32_t head_dim = 0;
  bool bias_qkv = false;
  bool bias_out = false;
  QkNorm qk_norm = QkNorm::kNone;
  int32_t window = 0;    // 0: full attention
  float softcap = 0.0f;  // 0: none
  float scale = 0.0f;    // on q·k
  int32_t rope = 0;      // index into ModelSpec::ropes, or -1
};

// down( act(gate(x)) · up(x) )
struct FfnSpec {
  int32_t width = 0;
  Activation activation = Activation::kSilu;
};

struct LayerSpec {
  AttentionSpec attention;
  FfnSpec ffn;
};

struct ModelSpec {
  std::string architecture;
  std::string name;
  int32_t vocab_size = 0;
  int32_t hidden = 0;
  int32_t context_length = 0;
  float norm_eps = 1e-6f;
  float embedding_scale = 1.0f;
  bool tied_head = false;  // the output head is the embedding table
  std::vector<Rope> ropes;
  std::vector<LayerSpec> layers;
};

// A tensor the spec calls for. The loader checks that it is there and has this shape.
struct TensorNeed {
  std::string name;
  Shape shape;
};
std::vector<TensorNeed> needed_tensors(const ModelSpec& spec);

// Every number within sane bounds and consistent with the others, so that nothing computed from a
// spec can overflow or divide by zero. Errors name the field.
Result<void> validate(const ModelSpec& spec);

}  // namespace xh
