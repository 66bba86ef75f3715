#include "model/families/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/formats/decode.h"

namespace xh {
namespace {

constexpr double kLongest = 1 << 26;  // tokens of context, whatever a file says

double frequency(double theta, int32_t dims, int32_t i) {
  return std::pow(theta, -2.0 * i / static_cast<double>(dims));
}

// Dividing by rope_freqs.weight: factors that slow the low frequencies (Llama 3.1's scaling).
Result<void> apply_factors(const ModelFile& file, Rope& rope) {
  const TensorView* factors = file.find("rope_freqs.weight");
  if (factors == nullptr) return {};
  if (factors->type != DType::kF32 || factors->shape.count() != rope.dims / 2)
    return fail(ErrorCode::kCorrupt, "must hold one F32 factor per rotated pair",
                "rope_freqs.weight");
  std::vector<float> values(static_cast<size_t>(rope.dims / 2));
  decode_values(factors->type, factors->data, values);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > 0)) return fail(ErrorCode::kCorrupt, "must be positive", "rope_freqs.weight");
    rope.inv_freq[i] /= values[i];
  }
  return {};
}

}  // namespace

std::vector<float> yarn_frequencies(double theta, int32_t dims, const YarnParams& p) {
  // The pair whose wave turns `beta` times over the original context.
  auto pair_of = [&](double beta) {
    return dims * std::log(p.original_context / (beta * 2 * std::numbers::pi)) /
           (2 * std::log(theta));
  };
  const double low = std::max(0.0, std::floor(pair_of(p.beta_fast)));
  double high = std::min(dims - 1.0, std::ceil(pair_of(p.beta_slow)));
  if (high <= low) high = low + 0.001;
  std::vector<float> out(static_cast<size_t>(dims / 2));
  for (int32_t i = 0; i < dims / 2; ++i) {
    const double f = frequency(theta, dims, i);
    const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
    out[static_cast<size_t>(i)] = static_cast<float>(f * (1 - ramp) + f / p.factor * ramp);
  }
  return out;
}

double dynamic_theta(double theta, int32_t dims, double factor, double stretch) {
  return theta * std::pow(factor * stretch - (factor - 1), dims / (dims - 2.0));
}

float yarn_magnitude(double factor) {
  return factor <= 1 ? 1.0f : static_cast<float>(0.1 * std::log(factor) + 1.0);
}

Result<Rope> read_rope(const ModelFile& file, const std::string& prefix, int32_t head_dim,
                       int32_t& context) {
  const Metadata& meta = file.metadata();
  Rope rope;
  XH_TRY(int64_t dims, meta.get_int_or(prefix + "rope.dimension_count", head_dim));
  if (dims < 2 || dims > head_dim || dims % 2 != 0)
    return fail(ErrorCode::kCorrupt, "must be even and at most the head's size",
                prefix + "rope.dimension_count");
  rope.dims = static_cast<int32_t>(dims);
  XH_TRY(double theta, meta.get_float_or(prefix + "rope.freq_base", 10000.0));
  if (!(theta > 1) || !std::isfinite(theta))
    return fail(ErrorCode::kCorrupt, "must be above 1", prefix + "rope.freq_base");
  XH_TRY(std::string type, meta.get_string_or(prefix + "rope.scaling.type", "none"));
  XH_TRY(double factor, meta.get_float_or(prefix + "rope.scaling.factor", 1.0));
  if (!(factor > 0) || !std::isfinite(factor))
    return fail(ErrorCode::kCorrupt, "must be positive", prefix + "rope.scaling.factor");

  rope.inv_freq.resize(static_cast<size_t>(rope.dims / 2));
  for (int32_t i = 0; i < rope.dims / 2; ++i)
    rope.inv_freq[static_cast<size_t>(i)] = static_cast<float>(frequency(theta, rope.dims, i));
  if (type == "linear") {
    for (float& f : rope.inv_freq) f = static_cast<float>(f / factor);
  } else if (type == "yarn") {
    YarnParams p{.factor = factor};
    XH_TRY(p.original_context,
           meta.get_float_or(prefix + "rope.scaling.original_context_length", context));
    XH_TRY(p.beta_fast, meta.get_float_or(prefix + "rope.scaling.yarn_beta_fast", 32.0));
    XH_TRY(p.beta_slow, meta.get_float_or(prefix + "rope.scaling.yarn_beta_slow", 1.0));
    if (!(p.original_context >= 1) || !(p.beta_fast > 0) || !(p.beta_slow > 0))
      return fail(ErrorCode::kCorrupt, "YaRN parameters must be positive", prefix + "rope.scaling");
    rope.inv_freq = yarn_frequencies(theta, rope.dims, p);
    XH_TRY(double magnitude,
           meta.get_float_or(prefix + "rope.scaling.attn_factor", yarn_magnitude(factor)));
    rope.magnitude = static_cast<float>(magnitude);
    context = static_cast<int32_t>(
        std::clamp(std::max<double>(context, p.original_context * factor), 1.0, kLongest));
  } else if (type == "dynamic") {
    XH_TRY(double original,
           meta.get_float_or(prefix + "rope.scaling.original_context_length", context));
    if (!(original >= 1) || !(factor >= 1) || rope.dims < 4)
      return fail(ErrorCode::kCorrupt,
                  "dynamic scaling needs a factor of at least 1 and 4 dimensions",
                  prefix + "rope.scaling");
    const double longest = std::clamp(std::max<double>(context, original * factor), 1.0, kLongest);
    const double stretched = dynamic_theta(theta, rope.dims, factor, longest / original);
    for (int32_t i = 0; i < rope.dims / 2; ++i)
      rope.inv_freq[static_cast<size_t>(i)] =
          static_cast<float>(frequency(stretched, rope.dims, i));
    context = static_cast<int32_t>(longest);
  } else if (type != "none") {
    return fail(ErrorCode::kUnsupported, "unknown scaling '" + type + "'",
                prefix + "rope.scaling.type", "xiaohu knows none, linear, dynamic and yarn");
  }
  XH_TRY_VOID(apply_factors(file, rope));
  return rope;
}

}  // namespace xh
