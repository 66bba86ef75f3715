// Parsing of one GGUF file (gguf_format.h has its layout). model_file.h is what others use.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "weights/metadata.h"
#include "weights/model_file.h"

namespace xh {

// Heap use of parsing, charged before each allocation: heap and the bytes read so far together stay
// within the size of the input and kGgufHeapAllowance, whatever counts the file claims.
class ParseBudget {
 public:
  // A file of this many bytes joins (the parts of a split set share one budget).
  void add_input(uint64_t bytes) { input_bytes_ += bytes; }
  // False when `heap_bytes` more would not fit; `read_bytes` is the reader's offset.
  bool charge(uint64_t heap_bytes, uint64_t read_bytes);

 private:
  uint64_t input_bytes_ = 0;
  uint64_t heap_bytes_ = 0;
};

struct GgufPart {
  uint32_t version = 0;
  Metadata metadata;
  std::vector<NamedTensor> tensors;  // in file order; views point into `bytes`
};

// Reads and checks a whole file. Errors name `label`, the offset and the field.
Result<GgufPart> parse_gguf(std::span<const std::byte> bytes, std::string_view label,
                            ParseBudget& budget);

}  // namespace xh
