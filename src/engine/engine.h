// Owns a model and one thread that runs it. Everything else talks to it through Client.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/client.h"
#include "engine/prefix_observer.h"
#include "model/model.h"

namespace xh {

// Text that is computed once, at the start, and stays for everybody's prompts that begin with it.
struct PinnedPrefix {
  std::string name;  // for the log
  std::vector<TokenId> tokens;
};

struct EngineOptions {
  int32_t max_batch_rows = 512;           // prefill chunk + decodes in one forward
  int32_t max_sequences = 64;             // running at once
  int32_t max_waiting = 1024;             // in the queue; more are refused
  int64_t max_waiting_tokens = 16 << 20;  // of all prompts in the queue: 64 MiB
  int32_t context_length = 0;             // 0: the model's
  uint64_t kv_budget_bytes = 0;           // 0: chosen from the machine's free memory
  KvType kv_type = KvType::kQ8;
  bool prefix_cache = true;
  bool speculation = true;  // guess repeated text ahead while that pays; the output is the same
  double stall_ms = 100;    // how long a step may keep running streams waiting
  // Where long prefixes are kept on disk, and how much of it; no folder or 0 bytes: nowhere.
  std::string kv_disk_folder;
  uint64_t kv_disk_bytes = 0;
  int32_t kv_disk_min_pages = 8;  // shorter prefixes are not worth a file
  std::vector<PinnedPrefix> pins;
  PrefixObserver* prefix_observer = nullptr;  // hears what the cache holds; outlives the engine
};

// A model with its tokenizer and template, ready to be driven.
struct LoadedModel {
  std::unique_ptr<Compute> compute;
  std::unique_ptr<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;  // may be null
  ClientInfo info;
  // Tells the model's files and the backend apart from others, for what is kept on disk. Empty:
  // nothing is.
  std::string fingerprint;
};

class Engine : public Client {
 public:
  static Result<std::unique_ptr<Engine>> create(LoadedModel loaded, const EngineOptions& options);
  // Stops taking work; running requests go on. drained() tells when none is left.
  virtual void drain() = 0;
  virtual bool drained() const = 0;
};

// Opens a model file and prepares everything for the named backend ("cpu", "reference").
struct LoadOptions {
  std::string backend = "cpu";
  int32_t threads = 0;  // 0: physical cores
  int32_t max_batch_rows = 512;
  int32_t max_sequences = 64;      // as in EngineOptions: sizes the logits
  std::string model_name;          // empty: the file's name without its ending
  std::string chat_template_file;  // empty: the one in the model
  bool pack_cache = true;          // keep packed weights on disk (docs/decisions/023)
};
Result<LoadedModel> load_model(const std::string& path, const LoadOptions& options);

}  // namespace xh
