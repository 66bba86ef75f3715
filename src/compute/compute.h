// What a model may ask of a machine. Operations have the grain at which a backend can be fast;
// shapes are (rows, columns), row-major float32, one row per token of the batch.
//
// Results of a row never depend on what else is in the batch, nor on how a prompt was cut into
// chunks (batch invariance): sums run in an order fixed by position, for every width.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compute/kv_store.h"
#include "tensor/tensor_view.h"

namespace xh {

// A weight matrix (out, in) as the backend holds it. Immutable; owned by the model.
class Matrix {
 public:
  virtual ~Matrix() = default;
  virtual int64_t out() const = 0;
  virtual int64_t in() const = 0;
  virtual uint64_t bytes() const = 0;  // read from memory in one pass over the matrix
};

// Float memory that the backend's operations can read and write.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual float* data() = 0;
};

// y = x / sqrt(mean(x²) + eps) · weight   (RMSNorm, Zhang & Sennrich 2019).
struct Norm {
  const float* weight = nullptr;  // (cols), or null for none
  float eps = 1e-6f;
};

enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh };

// Rotary embedding of the first `dims` values of a head (Su et al. 2021). Pairs are (i, i + dims/2)
// in the half layout (GPT-NeoX), (2i, 2i+1) in the interleaved one.
struct Rope {
  int32_t dims = 0;
  bool interleaved = false;
  std::vector<float> inv_freq;  // (dims / 2), scaling already applied
  float magnitude = 1.0f;       // factor on cos and sin (YaRN's attention factor)
};

// Consecutive rows of one sequence inside a batch.
struct SequenceRows {
  int32_t first_row = 0;
  int32_t n_rows = 0;
  int32_t first_pos = 0;  // position of the first row in its sequence
  // Cover positions 0 … first_pos + n_rows - 1; kNoPage where no row sees them through its window.
  std::span<const PageId> pages;
};

// One projection of a normalised input: out = norm(x) @ wᵀ + bias.
struct Projection {
  const Matrix* weight = nullptr;  // (out, in)
  const float* bias = nullptr;     // (out), or null
  MatView out;                     // (rows, out)
};

// Grouped-query attention over paged keys and values.
struct AttentionCall {
  int32_t layer = 0;
  int32_t n_heads = 0;
  int32_t n_kv_heads = 0;
  int32_t head_dim = 0;
  float scale = 1.0f;             // on q·k
  int32_t window = 0;             // 0: all earlier positions; else only the last `window`
  float softcap = 0.0f;           // 0: none; else cap · tanh(score / cap)
  const float* q_norm = nullptr;  // (head_dim) RMSNorm per head before RoPE, or null
  const float* k_norm = nullptr;
  float qk_norm_eps = 1e-6f;
  const Rope* rope = nullptr;  // null: no rotation
  MatView rope_table;          // (rows, dims): cos in the first half, sin in the second
  MatView q;                   // (rows, n_heads · head_dim), overwritten
  MatView k;                   // (rows, n_kv_heads · head_dim), overwritten
  MatView v;                   // (rows, n_kv_heads · head_dim)
  MatView out;                 // (rows, n_heads · head_dim)
  std::span<const SequenceRows> sequences;
};

struct GatedFfn {
  Norm norm;
  const Matrix* gate = nullptr;  // (ff, hidden)
  const Matrix* up = nullptr;    // (ff, hidden)
  const Matrix* down = nullptr;  // (hidden, ff)
  Activation activation = Activation::kSilu;
};

// One machine. Calls come from one thread at a time; the backend spreads each over its own threads.
class Compute {
 public:
  virtual ~Compute() = default;
  virtual std::string_view name() const = 0;    // "reference", "cpu"
  virtual std::string description() const = 0;  // "cpu: avx512-vnni, 2 threads"

  // Turns a stored tensor into this backend's form. `name` is for errors and the pack cache.
  // The tensor's bytes must stay mapped as long as the matrix lives.
  virtual Result<std::unique_ptr<Matrix>> prepare(const TensorView& w, std::string_view name) = 0;
  // Every matrix of the model has been prepared: a backend that keeps its form of them on disk may
  // do so now, in the background.
  virtual void weights_ready() {}
  virtual Result<std::unique_ptr<KvStore>> make_kv_store(const KvLayout& layout,
                                                         int32_t n_pages) = 0;
  virtual Result<std::unique_ptr<Buffer>> allocate(int64_t n_floats) = 0;
  // Sizes internal working memory: rows per forward, widest input and output of any matrix.
  virtual Result<void> reserve(int64_t max_rows, int64_t max_in, int64_t max_out) = 0;

  // out[i] = scale · table[ids[i]].  ids must be valid.  out: (ids.size(), hidden)
  virtual void embed(const Matrix& table, std::span<const int32_t> ids, float scale,
                     MatView out) = 0;
  // table[i] = (cos, sin)(positions[i] · inv_freq) · magnitude.  table: (positions.size(), dims)
  virtual void rope_table(const Rope& rope, std::span<const int32_t> positions, MatView table) = 0;
  // Each projection of norm(x).  x: (rows, in)
  virtual void norm_project(MatView x, const Norm& norm, std::span<const Projection> outs) = 0;
  // q, k: norm per head, rotate; k, v: store in the sequence's pages; out = softmax(q·kᵀ)·v.
  virtual void attention(const AttentionCall& call, KvStore& kv) = 0;
  // residual += x @ wᵀ + bias.  x: (rows, in)  residual: (rows, out)
  virtual void project_add(MatView x, const Matrix& w, const float* bias, MatView residual) = 0;
  // residual += down( act(gate(n)) · up(n) ),  n = norm(residual).  residual: (rows, hidden)
  virtual void gated_ffn(const GatedFfn& ffn, MatView residual) = 0;
  // logits[i] = norm(x[rows[i]]) @ wᵀ.  logits: (rows.size(), vocab)
  virtual void head(MatView x, std::span<const int32_t> rows, const Norm& norm, const Matrix& w,
                    MatView logits) = 0;

  // Calls work(item, thread) once for each item, with thread < host_threads(): what the program has
  // to do with the results, on the threads that have made them.
  using HostWork = std::function<void(int64_t item, int32_t thread)>;
  virtual void for_each(int64_t n_items, const HostWork& work) {
    for (int64_t i = 0; i < n_items; ++i) work(i, 0);
  }
  virtual int32_t host_threads() const { return 1; }
};

// The plain-loop oracle: one thread, float32, decoded weights.
std::unique_ptr<Compute> make_reference_compute();

}  // namespace xh
