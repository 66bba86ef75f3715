// The models that `pull NAME` knows: catalogue.json, embedded in the program.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/source.h"

namespace xh::hub {

struct CatalogueEntry {
  std::string name, title, maker, licence;
  Source source;
  uint64_t bytes = 0;  // 0: whatever the hub says
  std::string sha256;  // empty: the digest that the hub states is the one that is checked
};

struct Catalogue {
  std::string default_name;
  std::vector<CatalogueEntry> models;

  const CatalogueEntry* find(std::string_view name) const;
};

Result<Catalogue> parse_catalogue(std::string_view json);
// The embedded one. A mistake in it is ours; catalogue_test.cpp reads every entry.
const Catalogue& builtin_catalogue();

}  // namespace xh::hub
