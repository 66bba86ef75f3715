// A file mapped read-only into memory. Pages load on first touch and stay shared between processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace xh {

// Tells whether a file is still the one that was seen. The change time moves with every write and
// cannot be set by hand.
struct FileStamp {
  uint64_t bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;  // since the epoch

  bool operator==(const FileStamp&) const = default;
  // Of the file at this path now; all zero when there is none.
  static FileStamp of(const std::string& path);
};

// Movable, owns the mapping. Safe to read from any thread.
// A file that is truncated by someone else while mapped raises SIGBUS on access; callers that
// need protection against that copy what they validate.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  const FileStamp& stamp() const { return stamp_; }  // when it was opened
  uint32_t owner() const { return owner_; }          // user id

  // Starts reading these bytes, which are needed soon.
  void will_need(std::span<const std::byte> range) const;
  // Tells the kernel that these bytes are not needed soon; they stay readable.
  void release_pages(std::span<const std::byte> range) const;

 private:
  MappedFile(std::string path, const std::byte* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  FileStamp stamp_;
  uint32_t owner_ = 0;
};

}  // namespace xh
