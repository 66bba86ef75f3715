#include "hub/catalogue.h"

#include <boost/json.hpp>

#include "base/check.h"
#include "hub/json_fields.h"
#include "hub/safe_name.h"

namespace xh::hub {
namespace {

constexpr std::string_view kJson =
#include "hub/catalogue_json.inc"
    ;

}  // namespace

const CatalogueEntry* Catalogue::find(std::string_view name) const {
  for (const auto& entry : models) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

Result<Catalogue> parse_catalogue(std::string_view json) {
  XH_TRY(const auto root, parse_json_object(json, "catalogue"));
  Catalogue out;
  out.default_name = string_field(root, "default");
  const auto* models = array_field(root, "models");
  if (models == nullptr) return fail(ErrorCode::kCorrupt, "has no list \"models\"", "catalogue");
  for (const auto& value : *models) {
    const auto* object = value.if_object();
    if (object == nullptr)
      return fail(ErrorCode::kCorrupt, "a model is not an object", "catalogue");
    CatalogueEntry entry{string_field(*object, "name"),
                         string_field(*object, "title"),
                         string_field(*object, "maker"),
                         string_field(*object, "licence"),
                         {},
                         size_field(*object, "bytes"),
                         string_field(*object, "sha256")};
    if (!is_model_name(entry.name))
      return fail(ErrorCode::kCorrupt, "\"" + entry.name + "\" is no model name", "catalogue");
    if (!entry.sha256.empty() && !is_sha256_hex(entry.sha256))
      return fail(ErrorCode::kCorrupt, "the sha256 of " + entry.name + " is not one", "catalogue");
    XH_TRY(entry.source, parse_source(string_field(*object, "source")));
    out.models.push_back(std::move(entry));
  }
  return out;
}

const Catalogue& builtin_catalogue() {
  static const Catalogue catalogue = [] {
    auto parsed = parse_catalogue(kJson);
    XH_CHECK(parsed.has_value());
    return *parsed;
  }();
  return catalogue;
}

}  // namespace xh::hub
