// Plain descriptors with their errors as values.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"

namespace xh::hub {

// Owns a descriptor. Movable.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept;
  ~File() { close(); }

  static Result<File> open_read(const std::filesystem::path& path);
  // Created when absent, never through a symbolic link, held by one process at a time.
  static Result<File> open_exclusive(const std::filesystem::path& path);

  int fd() const { return fd_; }
  void close();

  Result<uint64_t> size(const std::filesystem::path& path) const;
  Result<size_t> read(std::span<std::byte> into, const std::filesystem::path& path) const;
  Result<void> write(std::span<const std::byte> bytes, const std::filesystem::path& path) const;
  Result<void> truncate(uint64_t bytes,
                        const std::filesystem::path& path) const;  // and moves to the new end
  Result<void> flush(const std::filesystem::path& path) const;     // to the disk

 private:
  int fd_ = -1;
};

// An Error from errno: "cannot WHAT: No space left on device".
Error system_error(const std::string& what, const std::filesystem::path& path);

Result<std::string> read_small_file(const std::filesystem::path& path, size_t max_bytes);
// Written beside and renamed over, flushed.
Result<void> write_small_file(const std::filesystem::path& path, std::string_view text);
Result<void> rename_flushed(const std::filesystem::path& from, const std::filesystem::path& to);
Result<void> make_folder(const std::filesystem::path& folder);

}  // namespace xh::hub
