// The seam between engine and model: tokens and pages in, logits out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "compute/compute.h"

namespace xh {

// Rows of one forward pass. Sequences cover the rows in order, without gaps.
struct Batch {
  std::span<const int32_t> tokens;  // (rows), each within the vocabulary
  std::span<const SequenceRows> sequences;
  std::span<const int32_t> logit_rows;  // rows whose logits are wanted, ascending
};

struct ModelInfo {
  std::string architecture;  // "qwen3"
  std::string name;
  int32_t vocab_size = 0;
  int32_t context_length = 0;  // tokens the model was made for, after RoPE scaling
  int32_t n_layers = 0;
  int32_t hidden = 0;
  int32_t max_batch_rows = 0;  // rows one forward may have
  int32_t max_logit_rows = 0;  // rows whose logits one forward may return
  uint64_t parameters = 0;
  uint64_t linear_parameters = 0;  // of the matrices a token is multiplied with
  uint64_t head_parameters = 0;    // of those, in the one that only rows with logits need
  uint64_t weight_bytes = 0;       // of those matrices, read once per forward
  bool float_weights = false;      // all of them are plain floats
  // Positions that a row sees, itself included, in the layer that sees most; 0: some layer sees
  // all. Pages hold all layers, so they can only be given back when each layer has a window.
  int32_t window = 0;
  KvLayout kv;  // type is chosen by the caller of make_kv_store
};

// A loaded model. forward() is called from one thread at a time.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  virtual Result<std::unique_ptr<KvStore>> make_kv_store(KvType type, int32_t n_pages) = 0;
  // Writes keys and values of every row into its sequence's pages and returns logits
  // (logit_rows.size(), vocab), valid until the next call.
  virtual MatView forward(const Batch& batch, KvStore& kv) = 0;
  // A step for nobody, in page 0, before any page is in use. The system gives the memory that steps
  // work in when it is first touched, which takes as long as the first step itself.
  virtual void warm_up(KvStore& /*kv*/) {}
  // As Compute's: calls work(item, thread) once for each item, on the backend's threads.
  virtual void for_each(int64_t n_items, const Compute::HostWork& work) {
    for (int64_t i = 0; i < n_items; ++i) work(i, 0);
  }
  virtual int32_t host_threads() const { return 1; }
};

}  // namespace xh
