#include <fmt/core.h>

#include "cli/command.h"
#include "cli/console.h"
#include "hub/model_store.h"
#include "hub/settings.h"

namespace xh::cli {
namespace {

struct Options {
  std::vector<std::string> names;
  bool partial = false;
};

Result<void> run_remove(const Options& options) {
  if (options.names.empty() && !options.partial)
    return fail(ErrorCode::kInvalidArgument, "no model is named", "remove",
                "`xiaohu list` shows the names.");
  XH_TRY(const auto store, hub::ModelStore::open(hub::data_folder(hub::process_environment())));
  for (const auto& name : options.names) {
    const auto model = store.find(name);
    XH_TRY_VOID(store.remove(name));
    fmt::print("removed {}{}\n", name, model ? " (" + human_bytes(model->bytes()) + ")" : "");
  }
  if (options.partial) {
    uint64_t bytes = 0;
    for (const auto& [name, held] : store.partial()) bytes += held;
    XH_TRY_VOID(store.clear_partial());
    fmt::print("removed unfinished pulls ({})\n", human_bytes(bytes));
  }
  return {};
}

}  // namespace

CommandBody set_up_remove(CLI::App& self) {
  auto options = std::make_shared<Options>();
  self.add_option("models", options->names, "Names as in `xiaohu list`")->type_name("MODEL");
  self.add_flag("--partial", options->partial, "Also what interrupted pulls left behind");
  return [options] { return run_remove(*options); };
}

}  // namespace xh::cli
