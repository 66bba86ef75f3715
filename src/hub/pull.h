// Brings a model from any source into the store.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/fetch.h"
#include "hub/model_store.h"
#include "hub/settings.h"

namespace xh::hub {

struct PullOptions {
  std::string name;  // keep it under this name; empty: the catalogue's, or made from the file's
  bool if_missing = false;  // a model of that name is good enough, wherever it came from
  bool force = false;       // fetch again what is there
  // Looks at the file before it becomes a model; an error stops the pull. May be empty.
  std::function<Result<void>(const std::filesystem::path& file)> check;
  ProgressFn progress;
};

struct Pulled {
  StoredModel model;
  bool was_there = false;
};

// `wanted` is a name of the catalogue or a source (source.h).
Result<Pulled> pull(const Settings& settings, const ModelStore& store, std::string_view wanted,
                    const PullOptions& options, const Catalogue& catalogue = builtin_catalogue());

}  // namespace xh::hub
