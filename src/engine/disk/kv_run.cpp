#include "engine/disk/kv_run.h"

#include <algorithm>
#include <cstring>

#include "base/byte_reader.h"
#include "base/check.h"

namespace xh {
namespace {

constexpr char kMagic[] = "xhkvrun\n";  // 8 bytes
constexpr uint64_t kMaxPageBytes = 1ull << 32;

void put(std::vector<std::byte>& out, size_t& at, const void* from, size_t n) {
  XH_CHECK(at + n <= out.size());
  std::memcpy(out.data() + at, from, n);
  at += n;
}

}  // namespace

std::vector<std::byte> seal_run_head(Sealer& sealer, const RunSalt& salt, const RunHead& head) {
  XH_CHECK(head.n_pages() >= 1 && head.n_pages() <= kRunPages &&
           head.tokens.size() % kPageTokens == 0);
  std::vector<std::byte> plain(kRunPlainBytes), out(kRunHeadBytes);
  const auto pages = static_cast<uint32_t>(head.n_pages());
  const uint32_t zero = 0;
  size_t at = 0;
  put(plain, at, head.owner.data(), head.owner.size());
  put(plain, at, head.parent.data(), head.parent.size());
  put(plain, at, &pages, sizeof pages);
  put(plain, at, &zero, sizeof zero);
  put(plain, at, &head.page_bytes, sizeof head.page_bytes);
  put(plain, at, head.tokens.data(), head.tokens.size() * sizeof(TokenId));

  at = 0;
  put(out, at, kMagic, 8);
  put(out, at, &kRunVersion, sizeof kRunVersion);
  put(out, at, &zero, sizeof zero);
  put(out, at, salt.data(), salt.size());
  XH_CHECK(sealer.seal(0, Bytes(out).first(at), plain, std::span(out).subspan(at)));
  return out;
}

Result<RunSalt> read_run_salt(Bytes bytes, std::string_view label) {
  ByteReader in(bytes, label);
  XH_TRY(const auto magic, in.take(8, "magic"));
  if (std::memcmp(magic.data(), kMagic, 8) != 0)
    return in.error_at(0, ErrorCode::kCorrupt, "is no file of keys and values");
  XH_TRY(const auto version, in.read<uint32_t>("version"));
  if (version != kRunVersion)
    return in.error_at(8, ErrorCode::kUnsupported,
                       "version " + std::to_string(version) + " is not ours");
  XH_TRY_VOID(in.read<uint32_t>("zero"));
  XH_TRY(const auto salt, in.take(32, "salt"));
  RunSalt out;
  std::ranges::copy(salt, out.begin());
  return out;
}

Result<RunHead> open_run_head(Sealer& sealer, Bytes bytes, uint64_t file_bytes,
                              std::string_view label) {
  ByteReader in(bytes, label);
  XH_TRY(const auto clear, in.take(kRunClearBytes, "beginning"));
  XH_TRY(const auto sealed, in.take(kRunPlainBytes + kSealTagBytes, "head"));
  std::vector<std::byte> plain(kRunPlainBytes);
  if (!sealer.open(0, clear, sealed, plain))
    return in.error_at(0, ErrorCode::kCorrupt, "the head is damaged, or made with another key");
  XH_TRY(auto head, parse_run_plain(plain, label));
  if (file_bytes != run_page_offset(head.page_bytes, head.n_pages()))
    return in.error_at(file_bytes, ErrorCode::kCorrupt, "the file's length is wrong");
  return head;
}

Result<RunHead> parse_run_plain(Bytes plain, std::string_view label) {
  ByteReader in(plain, label);
  RunHead out;
  XH_TRY(const auto owner, in.take(32, "owner"));
  std::memcpy(out.owner.data(), owner.data(), owner.size());
  XH_TRY(const auto parent, in.take(32, "parent"));
  std::memcpy(out.parent.data(), parent.data(), parent.size());
  XH_TRY(const auto pages, in.read<uint32_t>("pages"));
  XH_TRY_VOID(in.read<uint32_t>("zero"));
  XH_TRY(out.page_bytes, in.read<uint64_t>("page"));
  if (pages < 1 || pages > kRunPages)
    return in.error(ErrorCode::kCorrupt, std::to_string(pages) + " pages");
  if (out.page_bytes < 1 || out.page_bytes > kMaxPageBytes)
    return in.error(ErrorCode::kCorrupt, "pages of " + std::to_string(out.page_bytes) + " bytes");
  const size_t n = pages * static_cast<size_t>(kPageTokens);
  XH_TRY(const auto tokens, in.take(n * sizeof(TokenId), "tokens"));
  out.tokens.resize(n);
  std::memcpy(out.tokens.data(), tokens.data(), tokens.size());
  return out;
}

}  // namespace xh
