// Who is asking: keys are known only by their SHA-256 and compared in constant time.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serve/options.h"

namespace xh::serve {

using Sha256 = std::array<unsigned char, 32>;
Sha256 sha256(std::string_view bytes);
std::string to_hex(const Sha256& digest);

// Immutable after creation; safe from any thread.
class KeyRing {
 public:
  // From the options' keys and keys file. A file that others may write is refused.
  static Result<KeyRing> load(const ServeOptions& options);

  bool empty() const { return keys_.empty(); }
  // The name of the key in an Authorization header's value ("Bearer KEY", or "Basic" with the key
  // as its password), if it is one of ours. Takes the same time whichever key matches.
  std::optional<std::string> check(std::string_view authorization) const;

 private:
  struct Key {
    std::string name;
    Sha256 digest;
  };
  Result<void> read_file(const std::string& path);
  std::vector<Key> keys_;
};

// Whether the options may listen on `address` (numeric): refuses an address that other machines
// reach without a key, and without TLS unless insecure_http.
Result<void> check_exposure(const ServeOptions& options, const KeyRing& keys,
                            const std::string& address, bool is_loopback);

}  // namespace xh::serve
