// Which model a command runs, and how: the options that serve, chat and generate share.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/engine.h"

namespace xh::cli {

struct EngineChoice {
  std::string model;  // as in model_option.h
  std::string backend = "cpu", kv = "q8", template_file, name;
  int32_t threads = 0, context = 0, max_sequences = 0;
  uint64_t kv_budget_bytes = 0;
};

void add_engine_options(CLI::App& self, EngineChoice& choice);

// Loads and starts; tells on stderr when that takes longer than a second.
Result<std::unique_ptr<Engine>> start_engine(const EngineChoice& choice);

// The name under which a model is known to clients: the store's, else the file's.
std::string display_name(const std::string& model);

}  // namespace xh::cli
