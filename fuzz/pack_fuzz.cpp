// The table of a packed-weights file. Digests would stop nearly every mutation at the door, so the
// input is taken as it is and once more with its head's digest made right.
#include <cstring>
#include <string>

#include "base/check.h"
#include "compute/cpu/pack_digest.h"
#include "compute/cpu/pack_file.h"

namespace {

void read(std::span<const std::byte> bytes) {
  const auto table = xh::cpu::parse_pack(bytes, "fuzz");
  if (!table) return;
  uint8_t sum = 0;
  for (const auto& e : table->entries) {
    XH_CHECK(table->find(e.name) == &e);
    for (const auto b : bytes.subspan(e.offset, e.bytes)) sum ^= static_cast<uint8_t>(b);
  }
  static volatile uint8_t sink;
  sink = sum;
  // What was accepted is exactly what we would write.
  const std::string head = xh::cpu::pack_head(*table, bytes.size());
  XH_CHECK(head.size() <= bytes.size() && std::memcmp(head.data(), bytes.data(), head.size()) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  read(bytes);
  if (size < 48) return 0;
  std::string fixed(reinterpret_cast<const char*>(data), size);
  uint64_t head;
  std::memcpy(&head, data + 16, 8);
  if (head < 48 || head > size) return 0;
  std::memset(fixed.data() + 40, 0, 8);
  const auto all = std::as_bytes(std::span(fixed));
  const uint64_t digest = xh::cpu::pack_digest(all.first(head));
  std::memcpy(fixed.data() + 40, &digest, 8);
  read(all);
  return 0;
}
