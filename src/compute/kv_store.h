// The key/value memory of a model: fixed-size pages that sequences refer to by number.
// The engine decides which page belongs to whom; the backend decides how a page is laid out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace xh {

// Tokens per page, in every layer. The token at position p of a sequence lives in page p /
// kPageTokens.
inline constexpr int32_t kPageTokens = 32;

using PageId = int32_t;
// In the place of a page that was given back: it lies behind every layer's window.
inline constexpr PageId kNoPage = -1;

enum class KvType : uint8_t { kF32, kF16, kQ8, kQ4 };
std::string_view kv_type_name(KvType type);  // "f32", "f16", "q8", "q4"
Result<KvType> kv_type_from_name(std::string_view name);

struct KvLayer {
  int32_t n_kv_heads = 0;
  int32_t k_dim = 0;  // per head
  int32_t v_dim = 0;
  int32_t n_query_heads = 0;  // for estimates of work; storage does not depend on it
};

struct KvLayout {
  std::vector<KvLayer> layers;
  KvType type = KvType::kQ8;
};

// Owned by the engine. Pages are written by forward(). The calls below may run beside it, and
// beside each other, as long as nobody writes the pages they touch; copy_page() must not overlap
// with it.
class KvStore {
 public:
  virtual ~KvStore() = default;
  virtual int32_t n_pages() const = 0;
  virtual uint64_t page_bytes() const = 0;  // over all layers
  // Copies the first n_tokens of every layer of page src to page dst.
  virtual void copy_page(PageId dst, PageId src, int32_t n_tokens) = 0;
  // A page's bytes in this backend's layout, in parts that together have page_bytes().
  virtual int32_t parts_of_page() const { return 1; }
  virtual std::span<std::byte> page_part(PageId page, int32_t part) = 0;
  // All of them; out/in has page_bytes() bytes.
  void read_page(PageId page, std::span<std::byte> out);
  void write_page(PageId page, std::span<const std::byte> in);
  // Takes the memory of a part of a page from the system, so that who writes it first need not wait
  // for that. Its content stays; may run beside anything.
  virtual void prepare(PageId /*page*/, int32_t /*part*/) {}
};

}  // namespace xh
