#include "hub/file_io.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace xh::hub {

Error system_error(const std::string& what, const std::filesystem::path& path) {
  const int code = errno;
  Error out{ErrorCode::kIo, "cannot " + what + ": " + std::generic_category().message(code),
            path.string(), ""};
  if (code == ENOENT) {
    out.code = ErrorCode::kNotFound;
    out.remedy = "Check the path.";
  }
  if (code == EACCES || code == EPERM) out.code = ErrorCode::kPermissionDenied;
  if (code == ENOSPC || code == EDQUOT)
    out.remedy = "Free some space, or keep models elsewhere with XIAOHU_HOME=/path.";
  if (code == EROFS) out.remedy = "Keep models elsewhere with XIAOHU_HOME=/path.";
  return out;
}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void File::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<File> File::open_read(const std::filesystem::path& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) return std::unexpected(system_error("open", path));
  return file;
}

Result<File> File::open_exclusive(const std::filesystem::path& path) {
  File file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (file.fd() < 0) return std::unexpected(system_error("write", path));
  if (flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return std::unexpected(system_error("lock", path));
    return fail(ErrorCode::kUnavailable, "is being fetched by another process", path.string(),
                "Wait for it, or stop it.");
  }
  return file;
}

Result<uint64_t> File::size(const std::filesystem::path& path) const {
  struct stat status {};
  if (fstat(fd_, &status) != 0) return std::unexpected(system_error("measure", path));
  if (!S_ISREG(status.st_mode))
    return fail(ErrorCode::kInvalidArgument, "is not a regular file", path.string());
  return static_cast<uint64_t>(status.st_size);
}

Result<size_t> File::read(std::span<std::byte> into, const std::filesystem::path& path) const {
  for (;;) {
    const ssize_t got = ::read(fd_, into.data(), into.size());
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return std::unexpected(system_error("read", path));
  }
}

Result<void> File::write(std::span<const std::byte> bytes,
                         const std::filesystem::path& path) const {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd_, bytes.data(), bytes.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return std::unexpected(system_error("write", path));
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return {};
}

Result<void> File::truncate(uint64_t bytes, const std::filesystem::path& path) const {
  if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0 ||
      lseek(fd_, static_cast<off_t>(bytes), SEEK_SET) < 0)
    return std::unexpected(system_error("write", path));
  return {};
}

Result<void> File::flush(const std::filesystem::path& path) const {
  if (fsync(fd_) != 0) return std::unexpected(system_error("flush", path));
  return {};
}

Result<std::string> read_small_file(const std::filesystem::path& path, size_t max_bytes) {
  XH_TRY(File file, File::open_read(path));
  std::string out;
  std::byte buffer[16384];
  for (;;) {
    XH_TRY(const size_t got, file.read(buffer, path));
    if (got == 0) return out;
    out.append(reinterpret_cast<const char*>(buffer), got);
    if (out.size() > max_bytes)
      return fail(ErrorCode::kTooLarge, "is larger than it should be", path.string());
  }
}

Result<void> rename_flushed(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0)
    return std::unexpected(system_error("rename", from));
  XH_TRY(File folder,
         File::open_read(to.parent_path()));  // the new name is durable once its folder is
  return folder.flush(to.parent_path());
}

Result<void> write_small_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::path beside = path;
  beside += ".new";
  File file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (file.fd() < 0) return std::unexpected(system_error("write", beside));
  XH_TRY_VOID(file.write(std::as_bytes(std::span(text.data(), text.size())), beside));
  XH_TRY_VOID(file.flush(beside));
  file.close();
  return rename_flushed(beside, path);
}

Result<void> make_folder(const std::filesystem::path& folder) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) {
    errno = code.value();
    Error error = system_error("make this folder", folder);
    if (error.remedy.empty()) error.remedy = "Keep models elsewhere with XIAOHU_HOME=/path.";
    return std::unexpected(error);
  }
  return {};
}

}  // namespace xh::hub
