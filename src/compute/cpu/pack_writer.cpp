#include "compute/cpu/pack_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/huge_pages.h"

namespace xh::cpu {

std::unexpected<Error> PackWriter::error(const char* what) const {
  return fail(ErrorCode::kIo,
              std::string("packed weights not kept: ") + what + ": " + std::strerror(errno), part(),
              "name a folder in XIAOHU_PACK_CACHE, or set it to off");
}

Result<PackWriter> PackWriter::create(const std::string& path, uint64_t free_bytes,
                                      const std::string& like) {
  PackWriter w(path, -1);
  std::error_code ignored;
  const auto folder = std::filesystem::path(path).parent_path();
  std::filesystem::create_directories(folder, ignored);
  struct statvfs disk {};
  if (::statvfs(folder.empty() ? "." : folder.c_str(), &disk) != 0) return w.error("no folder");
  if (uint64_t{disk.f_bavail} * disk.f_frsize < free_bytes)
    return fail(ErrorCode::kTooLarge,
                "packed weights not kept: " + std::to_string(free_bytes >> 20) +
                    " MB would have to be free",
                path, "free disk space, or name a folder in XIAOHU_PACK_CACHE");
  const int fd =
      ::open(w.part().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0) return w.error("cannot write");
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return fail(ErrorCode::kUnavailable, "packed weights are being written by another process",
                path);
  }
  // Between our open and our lock the file may have been published: then it is no longer ours.
  struct stat ours {
  }, there{};
  if (::fstat(fd, &ours) != 0 || ::lstat(w.part().c_str(), &there) != 0 ||
      ours.st_ino != there.st_ino || ours.st_dev != there.st_dev) {
    ::close(fd);
    return fail(ErrorCode::kUnavailable, "packed weights were just written by another process",
                path);
  }
  if (!S_ISREG(ours.st_mode) || ours.st_uid != ::geteuid() || ours.st_nlink != 1) {
    ::close(fd);
    return fail(ErrorCode::kPermissionDenied, "not a plain file of this user", w.part(),
                "remove it");
  }
  w.fd_ = fd;  // from here on ours to remove
  if (::ftruncate(fd, 0) != 0) return w.error("cannot truncate");
  struct stat model {};
  if (::stat(like.c_str(), &model) == 0 && ::fchmod(fd, model.st_mode & 0644) != 0)
    return w.error("cannot set its mode");
  return w;
}

PackWriter::PackWriter(PackWriter&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      chunk_(std::move(other.chunk_)),
      chunk_offset_(other.chunk_offset_) {}

PackWriter::~PackWriter() {
  if (fd_ < 0) return;
  ::unlink(part().c_str());  // before the lock goes
  ::close(fd_);
}

Result<void> PackWriter::put(std::span<const std::byte> bytes, uint64_t offset,
                             const std::stop_token& stop) {
  while (!bytes.empty()) {
    if (stop.stop_requested()) return fail(ErrorCode::kCancelled, "stopped while writing", path_);
    const uint64_t chunk = offset / kHugePageBytes * kHugePageBytes;
    if (chunk != chunk_offset_) {
      chunk_.resize(kHugePageBytes);
      XH_TRY_VOID(write(chunk_, chunk_offset_));
      chunk_.clear();
      chunk_offset_ = chunk;
    }
    const size_t n = std::min(bytes.size(), static_cast<size_t>(chunk + kHugePageBytes - offset));
    chunk_.resize(offset - chunk);
    chunk_.insert(chunk_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    offset += n;
  }
  return {};
}

Result<void> PackWriter::write(std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return error("cannot write");
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<void> PackWriter::publish(std::span<const std::byte> head) {
  XH_TRY_VOID(write(chunk_, chunk_offset_));
  XH_TRY_VOID(write(head, 0));
  if (std::rename(part().c_str(), path_.c_str()) != 0) return error("cannot rename");
  ::close(std::exchange(fd_, -1));
  return {};
}

}  // namespace xh::cpu
