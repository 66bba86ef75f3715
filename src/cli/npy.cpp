#include "cli/npy.h"

#include <fmt/core.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace xh::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory");

Error cannot_write(const std::string& path) {
  return {ErrorCode::kIo, std::string("cannot be written: ") + std::strerror(errno), path,
          "Choose another --out."};
}

}  // namespace

std::string npy_header(int64_t rows, int64_t cols) {
  std::string dictionary =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr size_t kFixed = 10;  // magic, version, length
  dictionary.resize((kFixed + dictionary.size() + 1 + 63) / 64 * 64 - kFixed - 1, ' ');
  dictionary += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(dictionary.size() & 255);
  out += static_cast<char>(dictionary.size() >> 8);
  return out + dictionary;
}

Result<NpyWriter> NpyWriter::create(const std::string& path, int64_t rows, int64_t cols) {
  FILE* file = std::fopen((path + ".part").c_str(), "wb");
  if (file == nullptr) return std::unexpected(cannot_write(path));
  NpyWriter writer(path, file, rows * cols);
  const std::string header = npy_header(rows, cols);
  if (std::fwrite(header.data(), 1, header.size(), file) != header.size())
    return std::unexpected(cannot_write(path));
  return writer;
}

NpyWriter::NpyWriter(NpyWriter&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, nullptr)),
      missing_(other.missing_) {}

NpyWriter::~NpyWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  unlink((path_ + ".part").c_str());
}

Result<void> NpyWriter::append(std::span<const float> values) {
  missing_ -= static_cast<int64_t>(values.size());
  if (std::fwrite(values.data(), sizeof(float), values.size(), file_) != values.size())
    return std::unexpected(cannot_write(path_));
  return {};
}

Result<void> NpyWriter::close() {
  if (missing_ != 0)
    return fail(ErrorCode::kInternal, fmt::format("{} values are missing", missing_), path_);
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  if (!closed || std::rename((path_ + ".part").c_str(), path_.c_str()) != 0)
    return std::unexpected(cannot_write(path_));
  return {};
}

}  // namespace xh::cli
