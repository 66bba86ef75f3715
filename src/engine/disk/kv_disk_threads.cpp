// The two threads of KvDisk: one writes runs, one brings them back.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "engine/disk/file_descriptor.h"
#include "engine/disk/kv_disk.h"

namespace xh {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPause = std::chrono::seconds(30);
constexpr size_t kFetchThreads = 4;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void sync_folder(const std::string& folder) {
  FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() >= 0) ::fsync(fd.get());
}

}  // namespace

void KvDisk::write_all() {
  // Whoever computes goes first.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closed_ || !to_write_.empty(); });
    if (to_write_.empty()) return;
    WriteJob& job = *to_write_.front();
    lock.unlock();
    write_one(job);
    lock.lock();
    release_job_locked(job);
    to_write_.pop_front();
    changed_.notify_all();
  }
}

void KvDisk::release_job_locked(WriteJob& job) {
  for (PageId page : job.pages) {
    auto [begin, end] = readable_.equal_range(page);
    for (auto it = begin; it != end; ++it)
      if (it->second == &job) {
        readable_.erase(it);
        break;
      }
  }
}

void KvDisk::write_one(WriteJob& job) {
  const auto begin = Clock::now();
  RunFile run;
  std::string part;
  bool go = true;
  {
    std::lock_guard lock(mutex_);
    const auto* entry = index_.find(job.run);
    if (entry == nullptr) return;
    run = {options_.folder + "/" + entry->file_name(), entry->parent, entry->tokens};
    part = run.path + ".part";
    while (index_.used_bytes() > options_.budget_bytes && make_room_locked()) {
    }
    go = job.limit > 0 && index_.used_bytes() <= options_.budget_bytes && begin >= paused_until_;
    if (!go) return index_.remove(job.run);
  }
  Result<int32_t> written =
      has_space(file_bytes(static_cast<int32_t>(job.pages.size())))
          ? write_file(job, run, part)
          : fail(ErrorCode::kIo, "the disk is nearly full", options_.folder, "free some space");
  finish_write(job, written, run, part, seconds_since(begin));
}

bool KvDisk::has_space(uint64_t bytes) const {
  struct statvfs info {};
  return ::statvfs(options_.folder.c_str(), &info) != 0 ||
         static_cast<uint64_t>(info.f_bavail) * info.f_frsize >= bytes + options_.spare_bytes;
}

// How many pages were written: fewer than asked for when the others had to leave memory.
Result<int32_t> KvDisk::write_file(WriteJob& job, const RunFile& run, const std::string& part) {
  FileDescriptor fd(
      ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (fd.get() < 0) return fail(ErrorCode::kIo, std::strerror(errno), part);
  RunSalt salt;
  XH_TRY_VOID(fill_random(salt));
  Sealer sealer(key_, salt);
  const uint64_t page_bytes = kv_.page_bytes();
  std::vector<std::byte> plain(page_bytes), sealed(page_bytes + kSealTagBytes);
  int32_t n = 0;
  for (; n < static_cast<int32_t>(job.pages.size()); ++n) {
    {
      std::lock_guard reading(read_mutex_);
      {
        std::lock_guard lock(mutex_);
        if (static_cast<size_t>(n) >= job.limit) break;
      }
      kv_.read_page(job.pages[static_cast<size_t>(n)], plain);
    }
    if (!sealer.seal(static_cast<uint32_t>(n) + 1, {}, plain, sealed))
      return fail(ErrorCode::kInternal, "sealing failed", part);
    XH_TRY_VOID(fd.write_at(run_page_offset(page_bytes, n), sealed, part));
  }
  if (n == 0) return 0;
  RunHead head{owner_, run.parent, page_bytes, run.tokens};
  head.tokens.resize(static_cast<size_t>(n) * kPageTokens);
  XH_TRY_VOID(fd.write_at(0, seal_run_head(sealer, salt, head), part));
  if (::fsync(fd.get()) != 0) return fail(ErrorCode::kIo, std::strerror(errno), part);
  return n;
}

void KvDisk::finish_write(WriteJob& job, const Result<int32_t>& written, const RunFile& run,
                          const std::string& part, double seconds) {
  bool renamed = false;
  {
    std::lock_guard lock(mutex_);
    stats_.write_seconds += seconds;
    const bool whole = written && *written == static_cast<int32_t>(job.pages.size());
    RunId id = job.run;
    if (!whole) {
      index_.remove(job.run);
      if (written && *written > 0) {  // a shorter run, of another name
        const auto tokens =
            std::span(run.tokens).first(static_cast<size_t>(*written) * kPageTokens);
        id = index_.add(run.parent, {tokens.begin(), tokens.end()}, file_bytes(*written), false);
      }
    }
    if (written && *written > 0) {
      const std::string path = options_.folder + "/" + index_.find(id)->file_name();
      renamed = ::rename(part.c_str(), path.c_str()) == 0;
      if (renamed) {
        index_.set_ready(id);
        stats_.pages_written += static_cast<uint64_t>(*written);
        stats_.bytes_written += file_bytes(*written);
      } else {
        index_.remove(id);
      }
    }
    if (!written || (*written > 0 && !renamed)) {
      ++stats_.write_failures;
      paused_until_ = Clock::now() + kPause;
      log::warn("keys and values on disk: cannot write, next try in {} s: {}", kPause.count(),
                written ? "rename failed" : written.error().to_string());
    }
  }
  if (renamed)
    sync_folder(options_.folder);
  else
    ::unlink(part.c_str());
}

void KvDisk::fetch_all() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closed_ || !to_fetch_.empty(); });
    if (closed_) return;
    const FetchJob job = to_fetch_.front();
    lock.unlock();
    const auto begin = Clock::now();
    const int32_t good = fetch_one(job);
    lock.lock();
    stats_.restore_seconds += seconds_since(begin);
    stats_.pages_restored += static_cast<uint64_t>(good);
    stats_.bytes_restored += static_cast<uint64_t>(good) * kv_.page_bytes();
    if (!to_fetch_.empty()) to_fetch_.pop_front();
    fetched_.push_back({job.id, good});
    changed_.notify_all();
    lock.unlock();
    wake_();
    lock.lock();
  }
}

// Files are independent of each other: a few threads share them out.
int32_t KvDisk::fetch_one(const FetchJob& job) {
  struct Part {
    size_t first, n, good;
  };
  std::vector<Part> parts;
  for (size_t i = 0; i < job.places.size(); ++i)
    if (i > 0 && job.places[i].run == job.places[i - 1].run)
      ++parts.back().n;
    else
      parts.push_back({i, 1, 0});
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i; (i = next++) < parts.size();)
      if (!fetch_run(job, parts[i].first, parts[i].n, parts[i].good)) next = parts.size();
  };
  {
    std::vector<std::jthread> others;
    const size_t most = std::min<size_t>(kFetchThreads, std::thread::hardware_concurrency());
    for (size_t i = 1; i < std::min(most, parts.size()); ++i) others.emplace_back(work);
    work();
  }
  size_t good = 0;
  for (const Part& part : parts) {
    good += part.good;
    if (part.good < part.n) break;
  }
  return static_cast<int32_t>(good);
}

// Opens page `from` of a file straight into page `to`: nobody looks at it unless it proves right.
Result<void> KvDisk::read_page(const FileDescriptor& fd, Sealer& sealer, int32_t from, PageId to,
                               const std::string& path) {
  const auto damaged = [&] {
    return fail(ErrorCode::kCorrupt, "page " + std::to_string(from) + " is damaged", path);
  };
  uint64_t at = run_page_offset(kv_.page_bytes(), from);
  if (!sealer.begin_open(static_cast<uint32_t>(from) + 1, {})) return damaged();
  std::vector<std::byte> sealed;
  for (int32_t i = 0; i < kv_.parts_of_page(); ++i) {
    const auto part = kv_.page_part(to, i);
    sealed.resize(part.size());
    XH_TRY_VOID(fd.read_at(at, sealed, path));
    if (!sealer.open_piece(sealed, part.data())) return damaged();
    at += part.size();
  }
  sealed.resize(kSealTagBytes);
  XH_TRY_VOID(fd.read_at(at, sealed, path));
  if (!sealer.end_open(sealed)) return damaged();
  return {};
}

// Fills pages [first, first + n), which lie in one file; `good` counts those that are right.
bool KvDisk::fetch_run(const FetchJob& job, size_t first, size_t n, size_t& good) {
  const RunId id = job.places[first].run;
  RunFile run;
  {
    std::lock_guard lock(mutex_);
    const auto* entry = index_.find(id);
    if (entry == nullptr || closing_) return false;  // made room for another meanwhile
    run = {options_.folder + "/" + entry->file_name(), entry->parent, entry->tokens};
  }
  auto read = [&]() -> Result<void> {
    FileDescriptor fd(::open(run.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat info {};
    if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0)
      return fail(ErrorCode::kIo, std::strerror(errno), run.path);
    const uint64_t page_bytes = kv_.page_bytes();
    std::vector<std::byte> head_bytes(kRunHeadBytes);
    XH_TRY_VOID(fd.read_at(0, head_bytes, run.path));
    XH_TRY(const RunSalt salt, read_run_salt(head_bytes, run.path));
    Sealer sealer(key_, salt);
    XH_TRY(const RunHead head,
           open_run_head(sealer, head_bytes, static_cast<uint64_t>(info.st_size), run.path));
    if (head.owner != owner_ || head.parent != run.parent || head.tokens != run.tokens ||
        head.page_bytes != page_bytes)
      return fail(ErrorCode::kCorrupt, "another file took its place", run.path);
    for (size_t i = 0; i < n; ++i) {
      XH_TRY_VOID(
          read_page(fd, sealer, job.places[first + i].page, job.pages[first + i], run.path));
      ++good;
    }
    // The order of use, for the next start; the kernel's own idea of now is coarse.
    timespec now[2];
    ::clock_gettime(CLOCK_REALTIME, &now[0]);
    now[1] = now[0];
    ::futimens(fd.get(), now);
    return {};
  }();
  if (read) return true;
  drop(id, read.error().to_string());
  return false;
}

}  // namespace xh
