// What `xiaohu bench` runs: a model driven by hand-made batches, without engine or sampling, and
// the physical limit each result is held against.
#pragma once

#include <memory>
#include <vector>

#include "compute/cpu/machine_rates.h"
#include "model/model.h"

namespace xh::cli {

struct BenchCase {
  bool prefill = false;  // else decode
  int32_t tokens = 0;    // prompt tokens processed, or tokens decoded by each user
  int32_t depth = 0;     // tokens already in each user's context
  int32_t users = 1;
  bool shared = false;  // the users' context is one, in the same pages
};

struct BenchResult {
  BenchCase what;
  double tokens_per_s = 0;  // median over the repetitions, all users together
  double limit_share = 0;   // of limit_tokens_per_s()
};

// Tokens per second that memory bandwidth and arithmetic allow, whichever is less: every weight
// read once per forward, each user's keys and values once; two operations per weight and token,
// four per query head, dimension and visible position.
double limit_tokens_per_s(const ModelInfo& info, const MachineRates& rates, const BenchCase& what,
                          uint64_t kv_bytes_per_token, bool int8_weights);

// A model with room for `users` sequences of `positions` tokens, filled by real prefill up to the
// depth that a test asks for. The whole pages of the first `shared` tokens are everybody's, the
// rest each user's own.
class Workload {
 public:
  static Result<std::unique_ptr<Workload>> create(Model& model, KvType kv, int32_t users,
                                                  int32_t positions, int32_t shared);
  // Tokens per second of one run.
  double run(const BenchCase& what);
  uint64_t kv_bytes_per_token() const { return kv_->page_bytes() / kPageTokens; }

 private:
  explicit Workload(Model& model) : model_(&model) {}
  void prefill(int32_t user, int32_t first_pos, int32_t n_tokens);
  void decode(int32_t users, int32_t pos);

  Model* model_;
  std::unique_ptr<KvStore> kv_;
  std::vector<std::vector<PageId>> pages_;  // per user
  std::vector<int32_t> filled_;             // positions written, per user
  int32_t shared_ = 0;                      // positions in everybody's pages
  int32_t next_token_ = 1;
};

}  // namespace xh::cli
