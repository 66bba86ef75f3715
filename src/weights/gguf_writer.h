// Writes GGUF version 3 (gguf_format.h has the layout): for the quantiser, converters and tests.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tensor/tensor_view.h"
#include "weights/gguf_format.h"
#include "weights/metadata.h"

namespace xh {

// Collects keys and tensors, then writes them. One thread at a time.
// Tensor data is produced while writing, one tensor at a time, so a model larger than memory can be
// written.
class GgufWriter {
 public:
  // Fills all bytes of one tensor.
  using Fill = std::function<Result<void>(std::span<std::byte>)>;

  // Integers are stored in 32 bits and floats as float32 when nothing is lost, as other programs
  // expect; 'split.no' and 'split.count' as uint16. A later value replaces an earlier one.
  // 'general.alignment' also sets the layout.
  void set(std::string key, MetaValue value);
  // Stores the value, or each element of an array, as `type`.
  void set(std::string key, MetaValue value, GgufType type);
  void set_all(const Metadata& metadata);

  // `data` is not copied and must outlive the writer. Shapes are ours: row-major, (out, in).
  void add_tensor(std::string name, DType type, Shape shape, std::span<const std::byte> data);
  void add_tensor(std::string name, DType type, Shape shape, Fill fill);

  // Fails with kInvalidArgument naming the key or tensor that cannot be stored (shape against type,
  // size of data, duplicate or overlong names, a value that does not fit its type).
  Result<std::vector<std::byte>> to_bytes() const;
  // Writes PATH.part, syncs it and renames it to PATH: a reader never sees half a file.
  Result<void> write(const std::string& path) const;

 private:
  struct Value {
    MetaValue value;
    std::optional<GgufType> type;
  };
  struct Tensor {
    std::string name;
    DType type;
    Shape shape;
    std::span<const std::byte> data;
    Fill fill;  // when empty, `data` is used
  };
  using Sink = std::function<Result<void>(std::span<const std::byte>)>;

  Result<uint64_t> alignment() const;
  Result<std::vector<uint64_t>> tensor_sizes() const;
  Result<std::vector<std::byte>> header(const std::vector<uint64_t>& sizes,
                                        uint64_t alignment) const;
  Result<void> emit(const Sink& sink) const;

  std::map<std::string, Value, std::less<>> values_;
  std::vector<Tensor> tensors_;
};

}  // namespace xh
