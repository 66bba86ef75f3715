// Unicode normalisation form C over text that may hold invalid bytes.
#pragma once

#include <string>
#include <string_view>

namespace xh {

// The NFC form of `text`, which is `text` itself when that is normal already, else `storage`.
// Invalid bytes stay as they are. A run of more than 256 combining marks stays as written:
// ordering it would cost the square of its length. Linear in the text.
std::string_view normalize_nfc(std::string_view text, std::string& storage);

}  // namespace xh
