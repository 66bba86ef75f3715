// Bytes → the tensors of a safetensors file. What loads must lie inside the input and decode.
#include <vector>

#include "base/check.h"
#include "tensor/formats/decode.h"
#include "weights/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace xh;
  const auto bytes = std::as_bytes(std::span(data, size));
  auto tensors = parse_safetensors(bytes, "fuzz.safetensors");
  if (!tensors) {
    XH_CHECK(!tensors.error().message.empty() && !tensors.error().where.empty());
    return 0;
  }
  for (const auto& [name, view] : *tensors) {
    XH_CHECK(view.data >= bytes.data() && view.data + view.bytes <= bytes.data() + bytes.size());
    std::vector<float> values(static_cast<size_t>(view.shape.count()));
    decode_values(view.type, view.data, values);
  }
  return 0;
}
