#include <fmt/core.h>

#include <boost/json.hpp>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/program.h"
#include "hub/catalogue.h"
#include "hub/model_store.h"
#include "hub/settings.h"

namespace xh::cli {
namespace {

namespace json = boost::json;

struct Options {
  bool catalogue = false, names = false, json = false;
  std::string path_of;
};

json::array as_json(const std::vector<hub::StoredModel>& models) {
  json::array out;
  for (const auto& model : models) {
    json::array files;
    for (const auto& file : model.files)
      files.push_back(
          json::object{{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
    out.push_back(json::object{{"name", model.name},
                               {"bytes", model.bytes()},
                               {"source", model.source},
                               {"licence", model.licence},
                               {"pulled_at", model.pulled_at},
                               {"verified", model.verified},
                               {"path", model.path().string()},
                               {"files", std::move(files)}});
  }
  return out;
}

Result<void> list_catalogue(const Options& options) {
  const auto& catalogue = hub::builtin_catalogue();
  json::array array;
  std::vector<std::vector<std::string>> rows = {{"NAME", "MODEL", "MAKER", "LICENCE", "SOURCE"}};
  for (const auto& entry : catalogue.models) {
    const std::string source = entry.source.to_string();
    array.push_back(json::object{{"name", entry.name},
                                 {"title", entry.title},
                                 {"maker", entry.maker},
                                 {"licence", entry.licence},
                                 {"source", source},
                                 {"default", entry.name == catalogue.default_name}});
    rows.push_back(
        {entry.name, entry.title, entry.maker, entry.licence, source.substr(0, source.rfind(':'))});
    if (options.names) fmt::print("{}\n", entry.name);
  }
  if (options.names) return {};
  if (options.json) {
    fmt::print("{}\n", json::serialize(array));
  } else {
    fmt::print("{}\nFetch one: xiaohu pull NAME (the default is {})\n", format_table(rows),
               catalogue.default_name);
  }
  return {};
}

void print_table(const std::vector<hub::StoredModel>& models, const hub::ModelStore& store) {
  if (models.empty()) {
    fmt::print("No models in {}\nFetch one: xiaohu pull {}\n", store.models().string(),
               hub::builtin_catalogue().default_name);
  } else {
    std::vector<std::vector<std::string>> rows = {{"NAME", "SIZE", "LICENCE", "PULLED", "SOURCE"}};
    for (const auto& model : models)
      rows.push_back({model.name, human_bytes(model.bytes()),
                      model.licence.empty() ? "-" : model.licence, model.pulled_at.substr(0, 10),
                      model.source});
    fmt::print("{}", format_table(rows, {1}));
  }
  for (const auto& [name, bytes] : store.partial())
    fmt::print(
        "{}: an unfinished pull holds {}; pull it again to go on, or xiaohu remove --partial\n",
        name, human_bytes(bytes));
}

Result<void> run_list(const Options& options) {
  if (options.catalogue) return list_catalogue(options);
  XH_TRY(const auto store, hub::ModelStore::open(hub::data_folder(hub::process_environment())));
  if (!options.path_of.empty()) {
    XH_TRY(const auto path, store.resolve(options.path_of));
    fmt::print("{}\n", path.string());
    return {};
  }
  std::vector<Error> damaged;
  const auto models = store.list(&damaged);
  if (options.names) {
    for (const auto& model : models) fmt::print("{}\n", model.name);
  } else if (options.json) {
    fmt::print("{}\n", json::serialize(as_json(models)));
  } else {
    print_table(models, store);
  }
  if (!options.names) {
    for (const auto& error : damaged) print_error(error);
  }
  return {};
}

}  // namespace

CommandBody set_up_list(CLI::App& self) {
  auto options = std::make_shared<Options>();
  self.add_flag("--catalogue", options->catalogue,
                "The models that `xiaohu pull NAME` knows instead");
  self.add_flag("--names", options->names, "Only the names, one a line");
  self.add_flag("--json", options->json, "A JSON array");
  self.add_option("--path", options->path_of, "Print where the file of this model is")
      ->type_name("MODEL");
  return [options] { return run_list(*options); };
}

}  // namespace xh::cli
