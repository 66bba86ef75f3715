// A file descriptor that is closed when it goes, with whole reads and writes.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"

namespace xh {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

  // Exactly out.size() bytes; kCorrupt when the file ends before.
  Result<void> read_at(uint64_t offset, std::span<std::byte> out, const std::string& label) const {
    while (!out.empty()) {
      const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(ErrorCode::kIo, std::strerror(errno), label);
      if (n == 0) return fail(ErrorCode::kCorrupt, "ends too early", label);
      offset += static_cast<uint64_t>(n);
      out = out.subspan(static_cast<size_t>(n));
    }
    return {};
  }
  Result<void> write_at(uint64_t offset, std::span<const std::byte> in,
                        const std::string& label) const {
    while (!in.empty()) {
      const ssize_t n = ::pwrite(fd_, in.data(), in.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(ErrorCode::kIo, std::strerror(errno), label);
      offset += static_cast<uint64_t>(n);
      in = in.subspan(static_cast<size_t>(n));
    }
    return {};
  }

 private:
  int fd_;
};

}  // namespace xh
