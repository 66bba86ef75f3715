#include "compute/reference/reference_compute.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "compute/reference/reference_kv.h"
#include "compute/reference/reference_matrix.h"
#include "tensor/formats/decode.h"

namespace xh::reference {
namespace {

class FloatBuffer : public Buffer {
 public:
  explicit FloatBuffer(int64_t n) : values_(static_cast<size_t>(n)) {}
  float* data() override { return values_.data(); }

 private:
  std::vector<float> values_;
};

// A temporary (rows, cols) matrix; the oracle may allocate.
struct Scratch {
  Scratch(int64_t rows, int64_t cols)
      : values(static_cast<size_t>(rows * cols)), view{values.data(), rows, cols, cols} {}
  std::vector<float> values;
  MatView view;
};

void norm_rows(MatView x, const Norm& norm, MatView out) {
  for (int64_t r = 0; r < x.rows; ++r)
    rms_norm(x.row(r), x.cols, norm.weight, norm.eps, out.row(r));
}

}  // namespace

Result<std::unique_ptr<Matrix>> ReferenceCompute::prepare(const TensorView& w,
                                                          std::string_view name) {
  if (w.shape.rank != 2)
    return fail(ErrorCode::kUnsupported, "a weight matrix must have two dimensions",
                std::string(name));
  auto m = std::make_unique<ReferenceMatrix>(w.rows(), w.cols());
  for (int64_t r = 0; r < w.rows(); ++r)
    decode_row(w, r, {m->row(r), static_cast<size_t>(w.cols())});
  return m;
}

Result<std::unique_ptr<KvStore>> ReferenceCompute::make_kv_store(const KvLayout& layout,
                                                                 int32_t n_pages) {
  if (layout.type != KvType::kF32)
    return fail(ErrorCode::kUnsupported, "the reference backend keeps keys and values as f32 only",
                "kv type", "use f32, or the cpu backend");
  return std::make_unique<ReferenceKv>(layout, n_pages);
}

Result<std::unique_ptr<Buffer>> ReferenceCompute::allocate(int64_t n_floats) {
  return std::make_unique<FloatBuffer>(n_floats);
}

Result<void> ReferenceCompute::reserve(int64_t, int64_t, int64_t) {
  return {};
}

void ReferenceCompute::embed(const Matrix& table, std::span<const int32_t> ids, float scale,
                             MatView out) {
  for (size_t i = 0; i < ids.size(); ++i) {
    const float* row = decoded(table).row(ids[i]);
    for (int64_t c = 0; c < out.cols; ++c) out.row(static_cast<int64_t>(i))[c] = scale * row[c];
  }
}

void ReferenceCompute::rope_table(const Rope& rope, std::span<const int32_t> positions,
                                  MatView table) {
  const int32_t half = rope.dims / 2;
  for (size_t i = 0; i < positions.size(); ++i) {
    float* row = table.row(static_cast<int64_t>(i));
    for (int32_t j = 0; j < half; ++j) {
      // The angle is rounded to float first: that is what the makers' own code trains with.
      const float angle = static_cast<float>(positions[i]) * rope.inv_freq[static_cast<size_t>(j)];
      row[j] = std::cos(angle) * rope.magnitude;
      row[half + j] = std::sin(angle) * rope.magnitude;
    }
  }
}

void ReferenceCompute::norm_project(MatView x, const Norm& norm, std::span<const Projection> outs) {
  Scratch n(x.rows, x.cols);
  norm_rows(x, norm, n.view);
  for (const auto& p : outs) linear(n.view, decoded(*p.weight), p.bias, p.out);
}

void ReferenceCompute::project_add(MatView x, const Matrix& w, const float* bias,
                                   MatView residual) {
  Scratch y(residual.rows, residual.cols);
  linear(x, decoded(w), bias, y.view);
  for (int64_t r = 0; r < residual.rows; ++r)
    for (int64_t c = 0; c < residual.cols; ++c) residual.row(r)[c] += y.view.row(r)[c];
}

void ReferenceCompute::gated_ffn(const GatedFfn& ffn, MatView residual) {
  Scratch n(residual.rows, residual.cols);
  Scratch gate(residual.rows, ffn.gate->out()), up(residual.rows, ffn.up->out());
  norm_rows(residual, ffn.norm, n.view);
  linear(n.view, decoded(*ffn.gate), nullptr, gate.view);
  linear(n.view, decoded(*ffn.up), nullptr, up.view);
  for (size_t i = 0; i < gate.values.size(); ++i)
    gate.values[i] = activate(ffn.activation, gate.values[i]) * up.values[i];
  project_add(gate.view, *ffn.down, nullptr, residual);
}

void ReferenceCompute::head(MatView x, std::span<const int32_t> rows, const Norm& norm,
                            const Matrix& w, MatView logits) {
  Scratch n(static_cast<int64_t>(rows.size()), x.cols);
  for (size_t i = 0; i < rows.size(); ++i)
    rms_norm(x.row(rows[i]), x.cols, norm.weight, norm.eps, n.view.row(static_cast<int64_t>(i)));
  linear(n.view, decoded(w), nullptr, logits);
}

}  // namespace xh::reference

namespace xh {
std::unique_ptr<Compute> make_reference_compute() {
  return std::make_unique<reference::ReferenceCompute>();
}
}  // namespace xh
