#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "compute/cpu/cpu_compute.h"
#include "engine/engine.h"
#include "engine/tokenizer_metadata.h"
#include "model/decoder.h"

namespace xh {
namespace {

Result<std::unique_ptr<Compute>> make_backend(const LoadOptions& options) {
  if (options.backend == "cpu") return make_cpu_compute({.threads = options.threads});
  if (options.backend == "reference") return make_reference_compute();
  return fail(ErrorCode::kInvalidArgument, "unknown backend '" + options.backend + "'", "backend",
              "use cpu or reference");
}

Result<std::unique_ptr<ChatTemplate>> make_template(const Metadata& meta,
                                                    const LoadOptions& options) {
  std::string source, label = "tokenizer.chat_template";
  if (!options.chat_template_file.empty()) {
    label = options.chat_template_file;
    std::ifstream in(label, std::ios::binary);
    if (!in) return fail(ErrorCode::kNotFound, "cannot read the chat template", label);
    source.assign(std::istreambuf_iterator<char>(in), {});
  } else {
    XH_TRY(source, meta.get_string_or(label, ""));
  }
  if (source.empty()) return nullptr;
  XH_TRY(ChatTemplate parsed, ChatTemplate::parse(source, label));
  return std::make_unique<ChatTemplate>(std::move(parsed));
}

int64_t modified_at(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? static_cast<int64_t>(st.st_mtime) : 0;
}

}  // namespace

Result<LoadedModel> load_model(const std::string& path, const LoadOptions& options) {
  XH_TRY(ModelFile file, ModelFile::open(path));
  LoadedModel out;
  XH_TRY(TokenizerSpec spec, tokenizer_spec(file.metadata()));
  XH_TRY(out.tokenizer, Tokenizer::create(std::move(spec)));
  XH_TRY(out.chat_template, make_template(file.metadata(), options));
  XH_TRY(out.compute, make_backend(options));
  XH_TRY(auto decoder,
         Decoder::load(std::move(file), *out.compute, {.max_batch_rows = options.max_batch_rows}));
  out.model = std::move(decoder);

  const ModelInfo& info = out.model->info();
  if (out.tokenizer->vocab_size() > info.vocab_size)
    return fail(ErrorCode::kCorrupt, "the tokenizer has more tokens than the embedding table",
                path);
  out.info.model_name =
      options.model_name.empty() ? std::filesystem::path(path).stem().string() : options.model_name;
  out.info.architecture = info.architecture;
  out.info.description = out.compute->description();
  out.info.context_length = info.context_length;
  out.info.vocab_size = info.vocab_size;
  out.info.created = modified_at(path);
  return out;
}

}  // namespace xh
