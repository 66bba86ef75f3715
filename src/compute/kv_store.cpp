#include "compute/kv_store.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace xh {
namespace {
constexpr std::array<std::string_view, 4> kNames = {"f32", "f16", "q8", "q4"};
}

std::string_view kv_type_name(KvType type) {
  return kNames[static_cast<size_t>(type)];
}

void KvStore::read_page(PageId page, std::span<std::byte> out) {
  XH_CHECK(out.size() == page_bytes());
  for (int32_t i = 0; i < parts_of_page(); ++i) {
    const auto part = page_part(page, i);
    std::ranges::copy(part, out.begin());
    out = out.subspan(part.size());
  }
}

void KvStore::write_page(PageId page, std::span<const std::byte> in) {
  XH_CHECK(in.size() == page_bytes());
  for (int32_t i = 0; i < parts_of_page(); ++i) {
    const auto part = page_part(page, i);
    std::ranges::copy(in.first(part.size()), part.begin());
    in = in.subspan(part.size());
  }
}

Result<KvType> kv_type_from_name(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<KvType>(i);
  return fail(ErrorCode::kInvalidArgument, "unknown KV type '" + std::string(name) + "'", "kv type",
              "use f32, f16, q8 or q4");
}

}  // namespace xh
