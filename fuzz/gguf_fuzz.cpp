// Bytes → ModelFile. What loads must be usable in full, and must survive being written and read
// again.
#include <algorithm>
#include <vector>

#include "base/check.h"
#include "tensor/formats/decode.h"
#include "weights/gguf_writer.h"
#include "weights/model_file.h"

namespace {

using namespace xh;

void use(const ModelFile& file, std::span<const std::byte> bytes) {
  std::vector<float> row;
  for (const auto& [name, view] : file.tensors()) {
    XH_CHECK(view.data >= bytes.data() && view.data + view.bytes <= bytes.data() + bytes.size());
    XH_CHECK(file.find(name) == &view);
    row.resize(static_cast<size_t>(view.cols()));
    for (int64_t r = 0; r < view.rows(); ++r) decode_row(view, r, row);
  }
}

void round_trip(const ModelFile& file) {
  GgufWriter writer;
  writer.set_all(file.metadata());
  for (const auto& [name, view] : file.tensors())
    writer.add_tensor(name, view.type, view.shape, std::span(view.data, view.bytes));
  auto bytes = writer.to_bytes();
  XH_CHECK(bytes.has_value());
  auto again = ModelFile::parse(*bytes, "again");
  XH_CHECK(again.has_value());
  XH_CHECK(again->tensors().size() == file.tensors().size());
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const auto& a = file.tensors()[i];
    const auto& b = again->tensors()[i];
    XH_CHECK(a.name == b.name && a.view.shape == b.view.shape && a.view.type == b.view.type);
    XH_CHECK(std::equal(a.view.data, a.view.data + a.view.bytes, b.view.data));
  }
  XH_CHECK(again->metadata().values().size() == file.metadata().values().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  auto file = ModelFile::parse(bytes, "fuzz.gguf");
  if (!file) {
    XH_CHECK(!file.error().message.empty() && !file.error().where.empty());
    return 0;
  }
  use(*file, bytes);
  round_trip(*file);
  return 0;
}
