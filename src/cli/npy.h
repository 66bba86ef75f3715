// Writes NumPy's .npy files, version 1.0: a magic, a header that is a Python literal padded to 64
// bytes, then the values in C order.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace xh::cli {

// The header of a float32 matrix (rows, cols), little-endian.
std::string npy_header(int64_t rows, int64_t cols);

// Appends rows as they are computed. The file is PATH.part until close().
class NpyWriter {
 public:
  static Result<NpyWriter> create(const std::string& path, int64_t rows, int64_t cols);
  NpyWriter(NpyWriter&& other) noexcept;
  NpyWriter& operator=(NpyWriter&&) = delete;
  ~NpyWriter();

  Result<void> append(std::span<const float> values);
  Result<void> close();  // fails unless rows * cols values came

 private:
  NpyWriter(std::string path, FILE* file, int64_t values)
      : path_(std::move(path)), file_(file), missing_(values) {}

  std::string path_;
  FILE* file_;
  int64_t missing_;
};

}  // namespace xh::cli
