// A file of keys and values. Seals would stop nearly every mutation at the
// door, so the input is taken as it is, and once more as the plain head of a
// file that is sealed with the right key.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "engine/disk/kv_run.h"

namespace {

const xh::KvKey kKey = xh::KvKey::from_bytes(xh::Digest{});

void read(xh::Bytes file, uint64_t file_bytes) {
  const auto salt = xh::read_run_salt(file, "fuzz");
  if (!salt) return;
  xh::Sealer sealer(kKey, *salt);
  const auto head = xh::open_run_head(sealer, file, file_bytes, "fuzz");
  if (!head) return;
  XH_CHECK(head->n_pages() >= 1 && head->n_pages() <= xh::kRunPages);
  XH_CHECK(head->page_tokens(head->n_pages() - 1).size() == xh::kPageTokens);
  XH_CHECK(file_bytes == xh::run_page_offset(head->page_bytes, head->n_pages()));
  // What was accepted can be written, and read again as the same.
  const auto again = xh::seal_run_head(sealer, *salt, *head);
  const auto twin = xh::open_run_head(sealer, again, file_bytes, "fuzz");
  XH_CHECK(twin && twin->tokens == head->tokens && twin->parent == head->parent &&
           twin->owner == head->owner && twin->page_bytes == head->page_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  read(bytes, size);

  std::vector<std::byte> plain(xh::kRunPlainBytes);
  std::copy_n(bytes.begin(), std::min(bytes.size(), plain.size()), plain.begin());
  std::vector<std::byte> file(xh::kRunHeadBytes);
  const uint32_t version = xh::kRunVersion;
  std::memcpy(file.data(), "xhkvrun\n", 8);
  std::memcpy(file.data() + 8, &version, sizeof version);
  xh::RunSalt salt{};
  xh::Sealer sealer(kKey, salt);
  XH_CHECK(sealer.seal(0, xh::Bytes(file).first(xh::kRunClearBytes), plain,
                       std::span(file).subspan(xh::kRunClearBytes)));
  uint64_t page_bytes;
  uint32_t pages;
  std::memcpy(&pages, plain.data() + 64, sizeof pages);
  std::memcpy(&page_bytes, plain.data() + 72, sizeof page_bytes);
  read(file, size);
  read(file, xh::kRunHeadBytes + pages * (page_bytes + xh::kSealTagBytes));
  return 0;
}
