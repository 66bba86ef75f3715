#include "serve/auth.h"

#include <fmt/core.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

namespace xh::serve {
namespace {

bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(a[i])) != b[i]) return false;
  }
  return true;
}

std::optional<Sha256> from_hex(std::string_view text) {
  if (text.size() != 64) return std::nullopt;
  Sha256 out;
  for (size_t i = 0; i < 64; ++i) {
    const char c = text[i];
    int digit = 0;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return std::nullopt;
    }
    out[i / 2] = static_cast<unsigned char>(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
  }
  return out;
}

// The password of "user:password" in base64.
std::optional<std::string> basic_password(std::string_view encoded) {
  if (encoded.empty() || encoded.size() > 1024 || encoded.size() % 4 != 0) return std::nullopt;
  std::string decoded(encoded.size(), '\0');
  const int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(decoded.data()),
                                reinterpret_cast<const unsigned char*>(encoded.data()),
                                static_cast<int>(encoded.size()));
  if (n < 0) return std::nullopt;
  size_t size = static_cast<size_t>(n);
  for (size_t i = encoded.size(); i > encoded.size() - 2 && encoded[i - 1] == '='; --i) --size;
  decoded.resize(size);
  const size_t colon = decoded.find(':');
  if (colon == std::string::npos) return std::nullopt;
  return decoded.substr(colon + 1);
}

}  // namespace

Sha256 sha256(std::string_view bytes) {
  Sha256 out;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out.data());
  return out;
}

std::string to_hex(const Sha256& digest) {
  std::string out;
  for (unsigned char byte : digest) out += fmt::format("{:02x}", byte);
  return out;
}

Result<KeyRing> KeyRing::load(const ServeOptions& options) {
  KeyRing ring;
  for (const std::string& key : options.api_keys) {
    if (key.size() < 8) {
      return fail(ErrorCode::kInvalidArgument, "an API key must have at least 8 characters",
                  "--api-key", "make one with: openssl rand -hex 32");
    }
    ring.keys_.push_back({fmt::format("key{}", ring.keys_.size() + 1), sha256(key)});
  }
  if (!options.keys_file.empty()) XH_TRY_VOID(ring.read_file(options.keys_file));
  return ring;
}

Result<void> KeyRing::read_file(const std::string& path) {
  struct stat info {};
  std::ifstream file(path);
  if (!file || ::stat(path.c_str(), &info) != 0) {
    return fail(ErrorCode::kNotFound, "cannot read the keys file", path);
  }
  if (info.st_mode & S_IWOTH) {
    return fail(ErrorCode::kPermissionDenied, "everybody may write the keys file", path,
                "chmod 600 it");
  }
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::string name, digest, rest;
    if (!(words >> name) || name[0] == '#') continue;
    words >> digest >> rest;
    const auto bytes = from_hex(digest);
    if (!bytes || !rest.empty() || name.size() > 64) {
      return fail(ErrorCode::kCorrupt, "expected: NAME SHA256-IN-HEX",
                  fmt::format("{}:{}", path, number),
                  "the digest of a key: printf %s KEY | sha256sum");
    }
    keys_.push_back({name, *bytes});
  }
  if (keys_.empty()) return fail(ErrorCode::kCorrupt, "the keys file holds no key", path);
  return {};
}

std::optional<std::string> KeyRing::check(std::string_view authorization) const {
  const size_t space = authorization.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view scheme = authorization.substr(0, space);
  std::string_view rest = authorization.substr(space);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  std::string key;
  if (iequals(scheme, "bearer")) {
    key = rest;
  } else if (iequals(scheme, "basic")) {
    auto password = basic_password(rest);
    if (!password) return std::nullopt;
    key = std::move(*password);
  } else {
    return std::nullopt;
  }
  const Sha256 digest = sha256(key);
  const Key* match = nullptr;
  for (const Key& known : keys_) {
    if (CRYPTO_memcmp(known.digest.data(), digest.data(), digest.size()) == 0) match = &known;
  }
  if (!match) return std::nullopt;
  return match->name;
}

Result<void> check_exposure(const ServeOptions& options, const KeyRing& keys,
                            const std::string& address, bool is_loopback) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return fail(ErrorCode::kInvalidArgument, "TLS needs both a certificate and its key",
                "--tls-cert, --tls-key");
  }
  if (is_loopback) return {};
  if (keys.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} can be reached from other machines, and there is no key", address),
                "--host", "give --api-key or --keys-file, or listen on 127.0.0.1");
  }
  if (options.tls_cert.empty() && !options.insecure_http) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} can be reached from other machines, and without TLS keys and "
                            "prompts travel in clear",
                            address),
                "--host",
                "give --tls-cert and --tls-key, or --insecure-http if something in front of the "
                "server provides TLS");
  }
  return {};
}

}  // namespace xh::serve
