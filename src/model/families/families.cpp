#include "model/families/families.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/families/rope_scaling.h"

namespace xh {
namespace {

struct Family {
  std::string_view architecture;
  SpecReader read;
};

constexpr std::array kFamilies = {
    Family{"llama", llama_spec},
    Family{"qwen2", qwen2_spec},
    Family{"qwen3", qwen3_spec},
};

Result<int32_t> get_count(const Metadata& meta, const std::string& key, int64_t high) {
  XH_TRY(int64_t value, meta.get_int(key));
  if (value < 1 || value > high)
    return fail(ErrorCode::kCorrupt, "value " + std::to_string(value) + " is out of range", key);
  return static_cast<int32_t>(value);
}

}  // namespace

std::vector<std::string_view> known_architectures() {
  std::vector<std::string_view> out;
  for (const auto& f : kFamilies) out.push_back(f.architecture);
  return out;
}

Result<ModelSpec> read_spec(const ModelFile& file) {
  XH_TRY(std::string arch, file.metadata().get_string("general.architecture"));
  auto family = std::ranges::find(kFamilies, arch, &Family::architecture);
  if (family == kFamilies.end()) {
    std::string known;
    for (auto name : known_architectures())
      known += (known.empty() ? "" : ", ") + std::string(name);
    return fail(ErrorCode::kUnsupported, "unknown model architecture '" + arch + "'", file.path(),
                "xiaohu runs: " + known);
  }
  XH_TRY(ModelSpec spec, family->read(file));
  XH_TRY_VOID(validate(spec));
  return spec;
}

Result<ModelSpec> read_plain_spec(const ModelFile& file, bool interleaved_rope) {
  const Metadata& meta = file.metadata();
  ModelSpec spec;
  XH_TRY(spec.architecture, meta.get_string("general.architecture"));
  XH_TRY(spec.name, meta.get_string_or("general.name", spec.architecture));
  const std::string p = spec.architecture + ".";
  XH_TRY(spec.hidden, get_count(meta, p + "embedding_length", 1 << 17));
  XH_TRY(spec.context_length, get_count(meta, p + "context_length", 1 << 26));
  XH_TRY(double eps, meta.get_float_or(p + "attention.layer_norm_rms_epsilon", 1e-6));
  spec.norm_eps = static_cast<float>(eps);
  XH_TRY(TensorView table, file.tensor("token_embd.weight"));
  XH_TRY_VOID(table.rows() > (1 << 22)
                  ? Result<void>(
                        fail(ErrorCode::kTooLarge, "more than 4 million rows", "token_embd.weight"))
                  : Result<void>());
  spec.vocab_size = static_cast<int32_t>(table.rows());
  spec.tied_head = file.find("output.weight") == nullptr;

  LayerSpec layer;
  AttentionSpec& a = layer.attention;
  XH_TRY(a.n_heads, get_count(meta, p + "attention.head_count", 4096));
  XH_TRY(int64_t kv_heads, meta.get_int_or(p + "attention.head_count_kv", a.n_heads));
  if (kv_heads < 1 || kv_heads > a.n_heads)
    return fail(ErrorCode::kCorrupt, "is not in 1 … head_count", p + "attention.head_count_kv");
  a.n_kv_heads = static_cast<int32_t>(kv_heads);
  XH_TRY(int64_t head_dim, meta.get_int_or(p + "attention.key_length", spec.hidden / a.n_heads));
  XH_TRY(int64_t v_dim, meta.get_int_or(p + "attention.value_length", head_dim));
  if (head_dim < 2 || head_dim > 4096 || v_dim != head_dim)
    return fail(ErrorCode::kUnsupported, "key and value heads must be equal and within 2 … 4096",
                p + "attention.key_length");
  a.head_dim = static_cast<int32_t>(head_dim);
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.head_dim));
  XH_TRY(layer.ffn.width, get_count(meta, p + "feed_forward_length", 1 << 20));
  XH_TRY(Rope rope, read_rope(file, p, a.head_dim, spec.context_length));
  rope.interleaved = interleaved_rope;
  spec.ropes.push_back(std::move(rope));

  XH_TRY(int32_t n_layers, get_count(meta, p + "block_count", 1024));
  spec.layers.assign(static_cast<size_t>(n_layers), layer);
  return spec;
}

}  // namespace xh
