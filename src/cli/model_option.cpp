#include "cli/model_option.h"

#include "hub/catalogue.h"
#include "hub/model_store.h"
#include "hub/settings.h"

namespace xh::cli {

void add_model_option(CLI::App& self, std::string& model) {
  self.add_option("--model,-m", model,
                  "A name as in `xiaohu list`, or a file (default: " +
                      hub::builtin_catalogue().default_name + ")")
      ->type_name("MODEL");
}

Result<std::filesystem::path> model_path(const std::string& model) {
  XH_TRY(const auto store, hub::ModelStore::open(hub::data_folder(hub::process_environment())));
  return store.resolve(model.empty() ? hub::builtin_catalogue().default_name : model);
}

}  // namespace xh::cli
