// Keys for what lies on disk: a random key per folder, digests that only its holder can make, and
// authenticated encryption (AES-256-GCM) of one file's parts. OpenSSL stays behind this header.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace xh {

using Digest = std::array<uint8_t, 32>;
using Bytes = std::span<const std::byte>;

inline constexpr size_t kSealTagBytes = 16;

// The key of a folder. Whoever lacks it can neither read nor make files that we would use.
class KvKey {
 public:
  // Reads FOLDER/key, or makes it (mode 0600). A damaged key is replaced: what it sealed is lost.
  static Result<KvKey> open_or_make(const std::string& folder);
  static KvKey from_bytes(const Digest& bytes);  // for tests

  // HMAC-SHA256 over the parts, each with its length before it.
  Digest digest(std::string_view purpose, std::initializer_list<Bytes> parts) const;

 private:
  Digest bytes_{};
};

Digest sha256(Bytes bytes);
Result<void> fill_random(std::span<std::byte> out);
std::string hex(Bytes bytes);

// Seals and opens the parts of one file under a key of its own. Parts are numbered: each number is
// used for one content only, so it serves as the nonce. One thread at a time.
class Sealer {
 public:
  Sealer(const KvKey& key, Bytes salt);
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  // out: plain.size() + kSealTagBytes bytes.
  bool seal(uint32_t part, Bytes clear, Bytes plain, std::span<std::byte> out);
  // False: not what was sealed. Then `out` (sealed.size() - kSealTagBytes bytes) is rubbish.
  bool open(uint32_t part, Bytes clear, Bytes sealed, std::span<std::byte> out);
  // The same piece by piece: `out` has piece.size() bytes and may be the piece itself. What came
  // out must not be used before end_open() has seen the tag, which follows the last piece.
  bool begin_open(uint32_t part, Bytes clear);
  bool open_piece(Bytes piece, std::byte* out);
  bool end_open(Bytes tag);

 private:
  struct Cipher;
  std::unique_ptr<Cipher> cipher_;
  Digest key_;
};

}  // namespace xh
