#include "compute/cpu/pack_digest.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace xh::cpu {
namespace {

constexpr uint64_t kPiece = 256 << 10;
// Odd constants with about as many ones as zeros: the first digits of pi's fraction.
constexpr uint64_t kMix[4] = {0x243F6A8885A308D3, 0x13198A2E03707345, 0xA4093822299F31D1,
                              0x082EFA98EC4E6C89};

// Both halves of the 128-bit product: every input bit reaches every output bit.
uint64_t fold(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t word(const std::byte* p) {
  uint64_t w;
  std::memcpy(&w, p, 8);
  return w;
}

// Four chains side by side, so that the multiplier never waits.
uint64_t digest_piece(std::span<const std::byte> bytes) {
  uint64_t chain[4] = {kMix[0] ^ bytes.size(), kMix[1], kMix[2], kMix[3]};
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  auto step = [&](const std::byte* from) {
    for (int i = 0; i < 4; ++i)
      chain[i] = fold(chain[i] ^ word(from + 16 * i), kMix[i] ^ word(from + 16 * i + 8));
  };
  for (; left >= 64; left -= 64, p += 64) step(p);
  if (left > 0) {
    std::byte last[64] = {};
    std::memcpy(last, p, left);
    step(last);
  }
  const uint64_t half = fold(chain[0] ^ kMix[1], chain[1] ^ kMix[2]);
  return fold(half ^ chain[2] ^ kMix[3], chain[3] ^ kMix[0]);
}

}  // namespace

uint64_t pack_digest(std::span<const std::byte> bytes, ThreadPool* pool) {
  std::vector<uint64_t> pieces((bytes.size() + kPiece - 1) / kPiece);
  auto work = [&](Share share) {
    for (int64_t i = share.begin; i < share.end; ++i) {
      const uint64_t at = static_cast<uint64_t>(i) * kPiece;
      pieces[static_cast<size_t>(i)] =
          digest_piece(bytes.subspan(at, std::min(kPiece, bytes.size() - at)));
    }
  };
  const auto n = static_cast<int64_t>(pieces.size());
  if (pool && n > 1)
    pool->run([&](int32_t thread) { work(share_of(n, thread, pool->size())); });
  else
    work({0, n});
  return digest_piece(std::as_bytes(std::span(pieces)));
}

}  // namespace xh::cpu
