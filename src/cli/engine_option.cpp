#include "cli/engine_option.h"

#include "cli/console.h"
#include "cli/model_option.h"
#include "hub/catalogue.h"
#include "hub/safe_name.h"

namespace xh::cli {

void add_engine_options(CLI::App& self, EngineChoice& choice) {
  add_model_option(self, choice.model);
  self.add_option("--threads,-t", choice.threads, "Threads (0: one per physical core)")
      ->check(CLI::Range(0, 1024))
      ->group("Engine");
  self.add_option("--context", choice.context, "Tokens of context (0: what the model was made for)")
      ->check(CLI::Range(0, 1 << 24))
      ->group("Engine");
  self.add_option("--kv", choice.kv, "Keys and values kept as f32, f16, q8 or q4")
      ->check(CLI::IsMember({"f32", "f16", "q8", "q4"}))
      ->group("Engine");
  self.add_option("--kv-budget", choice.kv_budget_bytes,
                  "Memory for keys and values, such as 4GiB (default: from the free memory)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE")
      ->group("Engine");
  self.add_option("--backend", choice.backend, "cpu, or reference: slow and exact")
      ->check(CLI::IsMember({"cpu", "reference"}))
      ->group("Engine");
  self.add_option("--chat-template", choice.template_file,
                  "Use this Jinja file instead of the model's own")
      ->check(CLI::ExistingFile)
      ->group("Engine");
}

std::string display_name(const std::string& model) {
  const std::string chosen = model.empty() ? hub::builtin_catalogue().default_name : model;
  if (hub::is_model_name(chosen) && !chosen.ends_with(".gguf")) return chosen;
  const std::string name = hub::model_name_from_file(chosen);
  return name.empty() ? "model" : name;
}

Result<std::unique_ptr<Engine>> start_engine(const EngineChoice& choice) {
  XH_TRY(const auto path, model_path(choice.model));
  XH_TRY(const KvType kv, kv_type_from_name(choice.kv));
  const std::string name = choice.name.empty() ? display_name(choice.model) : choice.name;
  const Waiting waiting("loading " + name);
  LoadOptions load;
  load.backend = choice.backend;
  load.threads = choice.threads;
  load.model_name = name;
  load.chat_template_file = choice.template_file;
  XH_TRY(LoadedModel loaded, load_model(path.string(), load));
  EngineOptions options;
  options.context_length = choice.context;
  options.kv_budget_bytes = choice.kv_budget_bytes;
  options.kv_type = kv;
  if (choice.max_sequences > 0) options.max_sequences = choice.max_sequences;
  return Engine::create(std::move(loaded), options);
}

}  // namespace xh::cli
