#include "engine/disk/kv_seal.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace xh {
namespace {

const uint8_t* raw(Bytes bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

Result<void> write_key(const std::string& path, const Digest& key) {
  const std::string part = path + ".part";
  const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  bool good = fd >= 0 && ::fchmod(fd, 0600) == 0 &&
              ::write(fd, key.data(), key.size()) == static_cast<ssize_t>(key.size()) &&
              ::fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  if (good && ::rename(part.c_str(), path.c_str()) == 0) return {};
  return fail(ErrorCode::kIo, std::string("cannot write the key: ") + std::strerror(code), path,
              "choose another folder with --kv-disk");
}

}  // namespace

Result<KvKey> KvKey::open_or_make(const std::string& folder) {
  const std::string path = folder + "/key";
  KvKey out;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0) {
    struct stat info {};
    std::array<uint8_t, 33> bytes;  // one more than a key has
    const bool ours = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
                      info.st_uid == ::geteuid() && (info.st_mode & 077) == 0;
    const ssize_t n = ours ? ::read(fd, bytes.data(), bytes.size()) : -1;
    ::close(fd);
    if (n == static_cast<ssize_t>(out.bytes_.size())) {
      std::memcpy(out.bytes_.data(), bytes.data(), out.bytes_.size());
      return out;
    }
  }
  XH_TRY_VOID(fill_random(std::as_writable_bytes(std::span(out.bytes_))));
  XH_TRY_VOID(write_key(path, out.bytes_));
  return out;
}

KvKey KvKey::from_bytes(const Digest& bytes) {
  KvKey out;
  out.bytes_ = bytes;
  return out;
}

Digest KvKey::digest(std::string_view purpose, std::initializer_list<Bytes> parts) const {
  std::vector<uint8_t> message;
  auto add = [&](Bytes part) {
    const uint64_t n = part.size();
    const auto* length = reinterpret_cast<const uint8_t*>(&n);
    message.insert(message.end(), length, length + sizeof n);
    message.insert(message.end(), raw(part), raw(part) + n);
  };
  add(std::as_bytes(std::span(purpose)));
  for (Bytes part : parts) add(part);
  Digest out;
  unsigned size = 0;
  const auto* made = HMAC(EVP_sha256(), bytes_.data(), static_cast<int>(bytes_.size()),
                          message.data(), message.size(), out.data(), &size);
  XH_CHECK(made != nullptr && size == out.size());
  return out;
}

Digest sha256(Bytes bytes) {
  Digest out;
  SHA256(raw(bytes), bytes.size(), out.data());
  return out;
}

Result<void> fill_random(std::span<std::byte> out) {
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) == 1)
    return {};
  return fail(ErrorCode::kInternal, "the system gives no random bytes");
}

std::string hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (std::byte b : bytes) {
    out += kDigits[static_cast<unsigned>(b) >> 4];
    out += kDigits[static_cast<unsigned>(b) & 15];
  }
  return out;
}

struct Sealer::Cipher {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  ~Cipher() { EVP_CIPHER_CTX_free(context); }
};

Sealer::Sealer(const KvKey& key, Bytes salt)
    : cipher_(std::make_unique<Cipher>()), key_(key.digest("file", {salt})) {
  XH_CHECK(cipher_->context != nullptr);
}

Sealer::~Sealer() = default;

namespace {

constexpr size_t kPiece = 1u << 30;  // EVP counts in int

std::array<uint8_t, 12> nonce_of(uint32_t part) {
  std::array<uint8_t, 12> out{};
  std::memcpy(out.data(), &part, sizeof part);
  return out;
}

bool update(EVP_CIPHER_CTX* context, Bytes in, uint8_t* out) {
  while (!in.empty()) {
    const size_t n = std::min(in.size(), kPiece);
    int made = 0;
    if (EVP_CipherUpdate(context, out, &made, raw(in), static_cast<int>(n)) != 1) return false;
    in = in.subspan(n);
    if (out != nullptr) out += n;
  }
  return true;
}

}  // namespace

bool Sealer::seal(uint32_t part, Bytes clear, Bytes plain, std::span<std::byte> out) {
  XH_CHECK(out.size() == plain.size() + kSealTagBytes);
  auto* c = cipher_->context;
  auto* to = reinterpret_cast<uint8_t*>(out.data());
  int n = 0;
  return EVP_CipherInit_ex(c, EVP_aes_256_gcm(), nullptr, key_.data(), nonce_of(part).data(), 1) ==
             1 &&
         update(c, clear, nullptr) && update(c, plain, to) &&
         EVP_CipherFinal_ex(c, to + plain.size(), &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, kSealTagBytes, to + plain.size()) == 1;
}

bool Sealer::open(uint32_t part, Bytes clear, Bytes sealed, std::span<std::byte> out) {
  XH_CHECK(sealed.size() >= kSealTagBytes && out.size() == sealed.size() - kSealTagBytes);
  std::array<std::byte, kSealTagBytes> tag;  // `out` may lie in `sealed`
  std::ranges::copy(sealed.last(kSealTagBytes), tag.begin());
  return begin_open(part, clear) && open_piece(sealed.first(out.size()), out.data()) &&
         end_open(tag);
}

bool Sealer::begin_open(uint32_t part, Bytes clear) {
  auto* c = cipher_->context;
  return EVP_CipherInit_ex(c, EVP_aes_256_gcm(), nullptr, key_.data(), nonce_of(part).data(), 0) ==
             1 &&
         update(c, clear, nullptr);
}

bool Sealer::open_piece(Bytes piece, std::byte* out) {
  return update(cipher_->context, piece, reinterpret_cast<uint8_t*>(out));
}

bool Sealer::end_open(Bytes tag) {
  XH_CHECK(tag.size() == kSealTagBytes);
  auto* c = cipher_->context;
  std::array<uint8_t, kSealTagBytes> bytes;
  std::memcpy(bytes.data(), tag.data(), tag.size());
  uint8_t nothing[1];
  int n = 0;
  return EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, kSealTagBytes, bytes.data()) == 1 &&
         EVP_CipherFinal_ex(c, nothing, &n) == 1;
}

}  // namespace xh
