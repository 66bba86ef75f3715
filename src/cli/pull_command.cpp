#include <fmt/core.h>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "hub/pull.h"
#include "weights/model_file.h"

namespace xh::cli {
namespace {

struct Options {
  std::string source, name;
  bool if_missing = false, force = false;
};

Result<void> run_pull(const Options& options) {
  const auto settings = hub::settings_from(hub::process_environment());
  XH_TRY(const auto store, hub::ModelStore::open(settings.home));
  ProgressBar bar;
  const Interrupt interrupt;
  hub::PullOptions how;
  how.name = options.name;
  how.if_missing = options.if_missing;
  how.force = options.force;
  how.progress = [&](const std::string& what, uint64_t done, uint64_t total) {
    bar.update(what, done, total);
    return !Interrupt::asked();
  };
  how.check = [](const std::filesystem::path& file) -> Result<void> {
    XH_TRY_VOID(ModelFile::open(file.string()));
    return {};
  };
  const auto pulled = hub::pull(settings, store, options.source, how);
  bar.clear();
  if (!pulled) return std::unexpected(pulled.error());

  const auto& model = pulled->model;
  if (pulled->was_there) {
    if (!options.if_missing)
      fmt::print("{} is here already ({})\n", model.name, human_bytes(model.bytes()));
    return {};
  }
  fmt::print("{}  {}  {}{}\n", model.name, human_bytes(model.bytes()),
             model.verified ? "SHA-256 verified"
                            : "SHA-256 recorded (the source states none to compare with)",
             model.licence.empty() ? "" : "  licence " + model.licence);
  return {};
}

}  // namespace

CommandBody set_up_pull(CLI::App& self) {
  auto options = std::make_shared<Options>();
  self.add_option("source", options->source, "A name from the catalogue, or where the model is")
      ->required()
      ->type_name("SOURCE");
  self.add_option("--name", options->name, "Keep it under this name");
  self.add_flag("--if-missing", options->if_missing,
                "Do nothing, quietly, when a model of that name is here");
  self.add_flag("--force", options->force, "Fetch it again even if it is here");
  return [options] { return run_pull(*options); };
}

}  // namespace xh::cli
