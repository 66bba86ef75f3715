#include <fmt/core.h>

#include "cli/command.h"
#include "cli/inspect.h"
#include "cli/model_option.h"

namespace xh::cli {
namespace {

struct Options {
  std::string model;
  InspectOptions show;
  bool json = false, all = false;
};

Result<void> run_inspect(Options options) {
  XH_TRY(const auto path, model_path(options.model));
  XH_TRY(const ModelFile file, ModelFile::open(path.string()));
  if (options.json) {
    fmt::print("{}\n", boost::json::serialize(inspect_json(file)));
    return {};
  }
  if (options.all) options.show = {true, true, true};
  fmt::print("{}", inspect_text(file, options.show));
  return {};
}

}  // namespace

CommandBody set_up_inspect(CLI::App& self) {
  auto options = std::make_shared<Options>();
  self.add_option("model", options->model, "A name as in `xiaohu list`, or a file")
      ->type_name("MODEL");
  self.add_flag("--tensors", options->show.tensors, "Also every tensor with type and shape");
  self.add_flag("--metadata", options->show.metadata, "Also every key of the metadata");
  self.add_flag("--template", options->show.chat_template, "Also the text of the chat template");
  self.add_flag("--all", options->all, "All of these");
  self.add_flag("--json", options->json, "Everything as one JSON object");
  return [options] { return run_inspect(*options); };
}

}  // namespace xh::cli
