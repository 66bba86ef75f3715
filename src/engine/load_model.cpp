// From a file's path to a model that can be driven: backend, weights, tokenizer, template.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/log.h"
#include "compute/cpu/cpu_compute.h"
#include "engine/disk/kv_seal.h"
#include "engine/engine.h"
#include "engine/tokenizer_metadata.h"
#include "model/decoder.h"
#include "weights/model_file.h"

namespace xh {
namespace {

constexpr size_t kMaxNameBytes = 128;
constexpr uintmax_t kMaxTemplateBytes = 4u << 20;

Result<std::unique_ptr<Compute>> make_compute(const LoadOptions& options, const ModelFile& file) {
  if (options.backend == "reference") return make_reference_compute();
  if (options.backend == "cpu") {
    CpuOptions cpu{.threads = options.threads};
    if (options.pack_cache)
      for (const auto& part : file.files()) cpu.weight_files.push_back({part.path(), part.stamp()});
    return make_cpu_compute(cpu);
  }
  return fail(ErrorCode::kInvalidArgument, "there is no backend '" + options.backend + "'",
              "backend", "use cpu or reference");
}

// One printable line of bounded length.
std::string clean_name(std::string name) {
  std::erase_if(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  if (name.size() > kMaxNameBytes) {
    size_t end = kMaxNameBytes;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
    name.resize(end);
  }
  return name;
}

int64_t modified_at(const std::string& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  if (error) return 0;
  const auto unix_time = std::chrono::file_clock::to_sys(time).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(unix_time).count();
}

Result<std::string> read_template_file(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) return fail(ErrorCode::kIo, "cannot read the chat template", path, "");
  if (bytes > kMaxTemplateBytes)
    return fail(ErrorCode::kTooLarge, std::to_string(bytes) + " bytes are no chat template", path,
                "");
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A template the user names must be right. One inside the model that we cannot read leaves the
// model usable for plain completions.
Result<std::unique_ptr<ChatTemplate>> load_template(const LoadOptions& options,
                                                    const ModelFile& file) {
  if (!options.chat_template_file.empty()) {
    XH_TRY(auto source, read_template_file(options.chat_template_file));
    XH_TRY(auto parsed, ChatTemplate::parse(source, options.chat_template_file));
    return std::make_unique<ChatTemplate>(std::move(parsed));
  }
  constexpr const char* kKey = "tokenizer.chat_template";
  if (!file.metadata().has(kKey)) return nullptr;
  XH_TRY(auto source, file.metadata().get_string(kKey));
  auto parsed = ChatTemplate::parse(source, file.path() + ": " + kKey);
  if (!parsed) {
    log::warn("no chat with this model: {}", parsed.error().to_string());
    return nullptr;
  }
  return std::make_unique<ChatTemplate>(std::move(*parsed));
}

// Size, times and the first and last bytes of each file. The change time moves with every write.
std::string fingerprint_of(const ModelFile& file) {
  constexpr size_t kSample = 1 << 20;
  std::string out;
  for (const auto& part : file.files()) {
    const FileStamp& stamp = part.stamp();
    const auto bytes = part.bytes();
    const size_t n = std::min(bytes.size(), kSample);
    for (const auto& sample : {sha256(bytes.first(n)), sha256(bytes.last(n))})
      out += hex(std::as_bytes(std::span(sample))) + " ";
    out += std::to_string(stamp.bytes) + " " + std::to_string(stamp.modified_ns) + " " +
           std::to_string(stamp.changed_ns) + "; ";
  }
  return out;
}

Error in_file(Error error, const std::string& path) {
  error.where = error.where.empty() ? path : path + ": " + error.where;
  return error;
}

}  // namespace

Result<LoadedModel> load_model(const std::string& path, const LoadOptions& options) {
  XH_TRY(auto file, ModelFile::open(path));
  // What is quick to refuse comes before the weights are packed.
  auto spec = tokenizer_spec(file.metadata());
  if (!spec) return std::unexpected(in_file(std::move(spec).error(), path));
  auto tokenizer = Tokenizer::create(std::move(*spec));
  if (!tokenizer) return std::unexpected(in_file(std::move(tokenizer).error(), path));

  LoadedModel out;
  out.tokenizer = std::move(*tokenizer);
  XH_TRY(out.chat_template, load_template(options, file));
  XH_TRY(out.compute, make_compute(options, file));
  out.info.model_name = options.model_name.empty()
                            ? clean_name(std::filesystem::path(path).stem().string())
                            : options.model_name;
  out.info.created = modified_at(path);
  // Each sequence needs a row of logits; scored prompts and guesses share some more.
  DecoderOptions decoder;
  decoder.max_batch_rows = options.max_batch_rows;
  decoder.max_logit_rows = std::min(options.max_sequences + 64, 4096);
  std::string fingerprint = fingerprint_of(file);
  XH_TRY(out.model, Decoder::load(std::move(file), *out.compute, decoder));

  // Without the number of threads, on which no result depends.
  const std::string backend = out.compute->description();
  out.fingerprint = std::move(fingerprint) + backend.substr(0, backend.rfind(", "));
  const ModelInfo& model = out.model->info();
  if (out.tokenizer->vocab_size() > model.vocab_size)
    return fail(ErrorCode::kCorrupt,
                "the tokenizer has " + std::to_string(out.tokenizer->vocab_size()) +
                    " tokens, the model " + std::to_string(model.vocab_size),
                path + ": tokenizer.ggml.tokens", "convert the model again");
  out.info.architecture = model.architecture;
  out.info.description = out.compute->description();
  out.info.context_length = model.context_length;
  out.info.vocab_size = model.vocab_size;
  return out;
}

}  // namespace xh
