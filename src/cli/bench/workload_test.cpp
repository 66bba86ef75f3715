#include "cli/bench/workload.h"

#include <gtest/gtest.h>

namespace xh::cli {
namespace {

// Compute is the limit, and attention nothing beside it.
TEST(Bench, OnlyRowsWithLogitsCountTheHead) {
  ModelInfo info;
  info.linear_parameters = 10'000'000;
  info.head_parameters = 4'000'000;
  info.max_batch_rows = 512;
  MachineRates rates;
  rates.int8_gop_s = 1;
  rates.read_gb_s = 1000;
  BenchCase prefill;
  prefill.prefill = true;
  prefill.tokens = 100;
  prefill.users = 1;
  EXPECT_DOUBLE_EQ(limit_tokens_per_s(info, rates, prefill, 0, true), 1e9 / (2 * 6'040'000.0));
  BenchCase decode = prefill;
  decode.prefill = false;
  EXPECT_DOUBLE_EQ(limit_tokens_per_s(info, rates, decode, 0, true), 1e9 / (2 * 10'000'000.0));
}

}  // namespace
}  // namespace xh::cli
