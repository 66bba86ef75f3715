#include "compute/kv_store.h"

#include <array>

namespace xh {
namespace {
constexpr std::array<std::string_view, 4> kNames = {"f32", "f16", "q8", "q4"};
}

std::string_view kv_type_name(KvType type) {
  return kNames[static_cast<size_t>(type)];
}

Result<KvType> kv_type_from_name(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<KvType>(i);
  return fail(ErrorCode::kInvalidArgument, "unknown KV type '" + std::string(name) + "'", "kv type",
              "use f32, f16, q8 or q4");
}

}  // namespace xh
