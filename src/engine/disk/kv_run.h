// One file of keys and values: a run of up to kRunPages consecutive pages of one path of the prefix
// tree. Every byte is authenticated; nothing but the magic, the version and the salt is readable
// without the folder's key.
//
//   magic    8 bytes    "xhkvrun" 0A
//   version  u32        kRunVersion
//   zero     u32
//   salt     32 bytes   random; the file's own key comes from it and the folder's key
//   head     kRunPlainBytes sealed as part 0, the 48 bytes above being covered as well, + 16 of
//   tag:
//              owner   32 bytes   which model, build and KV layout made the pages
//              parent  32 bytes   chained digest of tenant and of all tokens before this run
//              pages   u32        1 … kRunPages
//              zero    u32
//              page    u64        bytes of one page
//              tokens  i32 × kRunPages · kPageTokens; unused ones are zero
//   then each page sealed as part 1, 2, …: page bytes + 16 of tag
//
// Numbers are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compute/kv_store.h"
#include "engine/disk/kv_seal.h"
#include "text/tokenizer.h"

namespace xh {

inline constexpr uint32_t kRunVersion = 1;
inline constexpr int32_t kRunPages = 8;
inline constexpr size_t kRunTokens = static_cast<size_t>(kRunPages) * kPageTokens;
inline constexpr size_t kRunClearBytes = 48;
inline constexpr size_t kRunPlainBytes = 80 + kRunTokens * sizeof(int32_t);
inline constexpr size_t kRunHeadBytes = kRunClearBytes + kRunPlainBytes + kSealTagBytes;

struct RunHead {
  Digest owner{}, parent{};
  uint64_t page_bytes = 0;
  std::vector<TokenId> tokens;  // full pages only

  int32_t n_pages() const { return static_cast<int32_t>(tokens.size()) / kPageTokens; }
  std::span<const TokenId> page_tokens(int32_t page) const {
    return std::span(tokens).subspan(static_cast<size_t>(page) * kPageTokens, kPageTokens);
  }
};

using RunSalt = std::array<std::byte, 32>;

// The first kRunHeadBytes of the file. `sealer` is of `salt`.
std::vector<std::byte> seal_run_head(Sealer& sealer, const RunSalt& salt, const RunHead& head);

// The salt of a file that begins with `bytes`, once magic and version are right.
Result<RunSalt> read_run_salt(Bytes bytes, std::string_view label);
// Opens the head; `file_bytes` is the length of the whole file, which must be exactly as the head
// says. Bytes are untrusted.
Result<RunHead> open_run_head(Sealer& sealer, Bytes bytes, uint64_t file_bytes,
                              std::string_view label);
// The opened head's fields; what a fuzzer reaches without the key.
Result<RunHead> parse_run_plain(Bytes plain, std::string_view label);

inline uint64_t run_page_offset(uint64_t page_bytes, int32_t page) {
  return kRunHeadBytes + static_cast<uint64_t>(page) * (page_bytes + kSealTagBytes);
}

}  // namespace xh
