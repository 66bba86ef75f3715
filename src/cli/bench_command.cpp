// `xiaohu bench`: tokens per second and the share of what the machine allows.
#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <memory>

#include "cli/bench/workload.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/model_option.h"
#include "engine/engine.h"

namespace xh::cli {
namespace {

struct Options {
  std::string model;
  int32_t threads = 0;
  std::string kv = "q8";
  std::vector<int32_t> prefill{512};
  int32_t decode = 32;
  std::vector<int32_t> depths{0};
  std::vector<int32_t> users{1};
  int32_t user_prompt = 128;
  int32_t repeat = 3;
  bool shared = false;
  bool json = false;
};

std::vector<BenchCase> list_cases(const Options& o) {
  std::vector<BenchCase> out;
  for (int32_t depth : o.depths) {
    for (int32_t n : o.prefill)
      if (n > 0) out.push_back({true, n, depth, 1});
    for (int32_t users : o.users)
      if (o.decode > 0)
        out.push_back({false, o.decode, users > 1 && depth == 0 ? o.user_prompt : depth, users,
                       o.shared && depth > 0});
  }
  return out;
}

double median(std::vector<double> v) {
  std::ranges::sort(v);
  const size_t n = v.size();
  return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

boost::json::object to_json(const Options& o, const ModelInfo& info, const MachineRates& rates,
                            const std::vector<BenchResult>& results) {
  boost::json::array rows;
  for (const auto& r : results)
    rows.push_back({{"test", r.what.prefill ? "prefill" : "decode"},
                    {"tokens", r.what.tokens},
                    {"depth", r.what.depth},
                    {"users", r.what.users},
                    {"shared_context", r.what.shared},
                    {"tokens_per_s", r.tokens_per_s},
                    {"limit_share", r.limit_share}});
  return {{"machine",
           {{"read_gb_s", rates.read_gb_s},
            {"fp32_gflop_s", rates.fp32_gflop_s},
            {"int8_gop_s", rates.int8_gop_s},
            {"threads", rates.threads},
            {"memory_nodes", rates.memory_nodes},
            {"isa", rates.isa}}},
          {"model",
           {{"name", info.name},
            {"architecture", info.architecture},
            {"parameters", info.parameters},
            {"weight_bytes", info.weight_bytes},
            {"kv", o.kv}}},
          {"results", rows}};
}

void print_table(const ModelInfo& info, const MachineRates& rates,
                 const std::vector<BenchResult>& results) {
  fmt::print(
      "machine   {} threads{}, {}: reads {:.1f} GB/s, fp32 {:.0f} GFLOP/s, int8 {:.0f} GOP/s\n",
      rates.threads,
      rates.memory_nodes == 1 ? "" : fmt::format(" on {} memory nodes", rates.memory_nodes),
      rates.isa, rates.read_gb_s, rates.fp32_gflop_s, rates.int8_gop_s);
  fmt::print("model     {} ({}), {} parameters, {} read per token\n\n", info.name,
             info.architecture, human_count(info.parameters), human_bytes(info.weight_bytes));
  std::vector<std::vector<std::string>> rows{
      {"test", "tokens", "depth", "users", "tokens/s", "of the limit"}};
  for (const auto& r : results)
    rows.push_back({r.what.prefill ? "prefill" : "decode", std::to_string(r.what.tokens),
                    std::to_string(r.what.depth), std::to_string(r.what.users),
                    fmt::format("{:.1f}", r.tokens_per_s),
                    fmt::format("{:.0f}%", 100 * r.limit_share)});
  fmt::print("{}", format_table(rows, {1, 2, 3, 4, 5}));
}

Result<void> bench(const Options& o) {
  XH_TRY(KvType kv, kv_type_from_name(o.kv));
  XH_TRY(auto path, model_path(o.model));
  XH_TRY(LoadedModel loaded, load_model(path, {.threads = o.threads}));
  const ModelInfo& info = loaded.model->info();
  const auto cases = list_cases(o);
  int32_t users = 1, positions = 1;
  for (const auto& c : cases) {
    users = std::max(users, c.users);
    positions = std::max(positions, c.depth + c.tokens);
  }
  XH_TRY(MachineRates rates, measure_machine(o.threads, info.weight_bytes));
  const int32_t common = o.shared ? *std::ranges::min_element(o.depths) : 0;
  XH_TRY(auto work, Workload::create(*loaded.model, kv, users, positions, common));

  std::vector<BenchResult> results;
  ProgressBar progress;
  for (const auto& c : cases) {
    progress.update("measuring", results.size(), cases.size());
    // A prefill's first run takes memory for all its rows from the system.
    BenchCase warm = c;
    if (!c.prefill) warm.tokens = std::min(c.tokens, 2);
    work->run(warm);
    std::vector<double> runs;
    for (int32_t i = 0; i < o.repeat; ++i) runs.push_back(work->run(c));
    BenchResult r{c, median(runs), 0};
    r.limit_share = r.tokens_per_s / limit_tokens_per_s(info, rates, c, work->kv_bytes_per_token(),
                                                        !info.float_weights);
    results.push_back(r);
  }
  progress.clear();
  if (o.json) {
    fmt::print("{}\n", boost::json::serialize(to_json(o, info, rates, results)));
  } else {
    print_table(info, rates, results);
  }
  return {};
}

}  // namespace

CommandBody set_up_bench(CLI::App& self) {
  auto o = std::make_shared<Options>();
  add_model_option(self, o->model);
  self.add_option("-t,--threads", o->threads, "Threads (0: one per physical core)")
      ->check(CLI::Range(0, 1024));
  self.add_option("--kv", o->kv, "Keys and values as f32, f16, q8 or q4")->capture_default_str();
  self.add_option("--prefill", o->prefill, "Prompt lengths to process")
      ->delimiter(',')
      ->capture_default_str();
  self.add_option("--decode", o->decode, "Tokens to decode for each user")->capture_default_str();
  self.add_option("--depth", o->depths, "Tokens already in the context")
      ->delimiter(',')
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  self.add_option("--users", o->users, "Sequences decoded together")
      ->delimiter(',')
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  self.add_flag("--shared", o->shared,
                "The users' context of --depth tokens is one, in shared pages");
  self.add_option("--repeat", o->repeat, "Runs of each test; the median is reported")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  self.add_flag("--json", o->json, "One JSON object instead of a table");
  return [o]() { return bench(*o); };
}

}  // namespace xh::cli
