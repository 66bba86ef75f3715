#include "engine/disk/kv_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/log.h"
#include "engine/disk/file_descriptor.h"

namespace xh {
namespace {

constexpr size_t kMaxQueuedPages = 1 << 16;

std::unexpected<Error> io_error(const std::string& what, const std::string& where) {
  return fail(ErrorCode::kIo, what + ": " + std::strerror(errno), where,
              "choose another folder with --kv-disk, or --kv-disk-budget 0");
}

Result<int> lock_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    errno = error.value();
    return io_error("cannot make the folder", folder);
  }
  if (::chmod(folder.c_str(), 0700) != 0) return io_error("the folder is not ours", folder);
  const std::string path = folder + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return io_error("cannot open", path);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return fail(ErrorCode::kUnavailable, "another process keeps its keys and values here", folder,
                "choose another folder with --kv-disk");
  }
  return fd;
}

}  // namespace

Result<std::unique_ptr<KvDisk>> KvDisk::open(KvDiskOptions options, KvStore& kv,
                                             std::function<void()> wake) {
  XH_TRY(const int lock, lock_folder(options.folder));
  FileDescriptor held(lock);
  XH_TRY(KvKey key, KvKey::open_or_make(options.folder));
  std::unique_ptr<KvDisk> out(new KvDisk(std::move(options), kv, std::move(wake), std::move(key)));
  out->lock_fd_ = held.release();
  out->scan();
  out->writer_ = std::thread([disk = out.get()] { disk->write_all(); });
  out->fetcher_ = std::thread([disk = out.get()] { disk->fetch_all(); });
  return out;
}

KvDisk::KvDisk(KvDiskOptions options, KvStore& kv, std::function<void()> wake, KvKey key)
    : options_(std::move(options)),
      kv_(kv),
      wake_(std::move(wake)),
      key_(key),
      owner_(key.digest("owner", {std::as_bytes(std::span(options_.owner))})),
      index_(key_, owner_) {
  stats_.on = true;
  stats_.budget_bytes = options_.budget_bytes;
}

KvDisk::~KvDisk() {
  finish();
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    to_fetch_.clear();
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
  if (fetcher_.joinable()) fetcher_.join();
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

uint64_t KvDisk::file_bytes(int32_t n_pages) const {
  return run_page_offset(kv_.page_bytes(), n_pages);
}

// What lies in the folder, oldest first so that the order of use survives a restart.
void KvDisk::scan() {
  struct Item {
    std::string name;
    int64_t used_ns;
  };
  std::vector<Item> items;
  if (DIR* dir = ::opendir(options_.folder.c_str())) {
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      const std::string path = options_.folder + "/" + name;
      if (name.ends_with(".xhkv.part")) ::unlink(path.c_str());
      struct stat info {};
      if (!name.ends_with(".xhkv") || ::lstat(path.c_str(), &info) != 0) continue;
      items.push_back({name, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec});
    }
    ::closedir(dir);
  }
  std::ranges::sort(items, {}, [](const Item& i) { return std::tie(i.used_ns, i.name); });
  for (const Item& item : items) admit_file(item.name);
  std::lock_guard lock(mutex_);
  while (index_.used_bytes() > options_.budget_bytes && make_room_locked()) {
  }
  if (index_.n_runs() > 0)
    log::info("keys and values on disk: {} files, {} MiB, in {}", index_.n_runs(),
              index_.used_bytes() >> 20, options_.folder);
}

// Takes a file into the index, or deletes it.
bool KvDisk::admit_file(const std::string& name) {
  const std::string path = options_.folder + "/" + name;
  auto head = [&]() -> Result<RunHead> {
    FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat info {};
    if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
      return fail(ErrorCode::kIo, "is no file that can be read", name);
    std::vector<std::byte> bytes(kRunHeadBytes);
    XH_TRY_VOID(fd.read_at(0, bytes, name));
    XH_TRY(const RunSalt salt, read_run_salt(bytes, name));
    Sealer sealer(key_, salt);
    XH_TRY(RunHead out, open_run_head(sealer, bytes, static_cast<uint64_t>(info.st_size), name));
    if (out.owner != owner_ || out.page_bytes != kv_.page_bytes())
      return fail(ErrorCode::kUnsupported, "is of another model, build or KV format", name);
    return out;
  }();
  std::lock_guard lock(mutex_);
  if (head) {
    const auto known = index_.known(head->parent, head->tokens);
    if (known.n_pages == head->n_pages()) return ::unlink(path.c_str()), false;  // twice
    const uint64_t bytes = file_bytes(head->n_pages());
    const RunId run = index_.add(head->parent, std::move(head->tokens), bytes, true);
    if (index_.find(run)->file_name() == name) return true;
    index_.remove(run);
    head = fail(ErrorCode::kCorrupt, "has the wrong name", name);
  }
  log::info("keys and values on disk: a file is deleted: {}", head.error().to_string());
  ::unlink(path.c_str());
  ++stats_.files_refused;
  return false;
}

void KvDisk::keep(const std::string& tenant, std::span<const TokenId> tokens,
                  std::span<const PageId> pages, bool last_call) {
  XH_CHECK(tokens.size() == pages.size() * kPageTokens);
  if (static_cast<int32_t>(pages.size()) < options_.min_pages) return;
  std::lock_guard lock(mutex_);
  if (closing_ || std::chrono::steady_clock::now() < paused_until_) return;
  auto [parent, n_known] = index_.known(index_.root(tenant), tokens);
  const auto n_new = static_cast<int32_t>(pages.size()) - n_known;
  if (n_new < (last_call ? 1 : options_.min_pages) || readable_.size() > kMaxQueuedPages) return;
  if (file_bytes(std::min(n_new, kRunPages)) > options_.budget_bytes) return;
  for (auto at = static_cast<size_t>(n_known); at < pages.size();) {
    const size_t n = std::min<size_t>(kRunPages, pages.size() - at);
    const auto run_tokens = tokens.subspan(at * kPageTokens, n * kPageTokens);
    auto job = std::make_unique<WriteJob>();
    job->run = index_.add(parent, {run_tokens.begin(), run_tokens.end()},
                          file_bytes(static_cast<int32_t>(n)), false);
    job->pages.assign(pages.begin() + static_cast<std::ptrdiff_t>(at),
                      pages.begin() + static_cast<std::ptrdiff_t>(at + n));
    job->limit = n;
    for (PageId page : job->pages) readable_.emplace(page, job.get());
    parent = index_.find(job->run)->ends.back();
    to_write_.push_back(std::move(job));
    at += n;
  }
  changed_.notify_all();
}

void KvDisk::page_leaves(PageId page) {
  {
    std::lock_guard lock(mutex_);
    auto [begin, end] = readable_.equal_range(page);
    if (begin == end) return;
    for (auto it = begin; it != end; ++it) {
      WriteJob& job = *it->second;
      const auto at = std::ranges::find(job.pages, page) - job.pages.begin();
      job.limit = std::min(job.limit, static_cast<size_t>(at));
    }
    readable_.erase(begin, end);
  }
  std::lock_guard wait(read_mutex_);  // for the reading of one page, at most
}

KvDisk::Found KvDisk::find(const std::string& tenant, std::span<const TokenId> tokens,
                           int32_t depth) {
  Found out;
  std::lock_guard lock(mutex_);
  if (index_.n_runs() == 0 || closing_) return out;
  Digest at = index_.root(tenant);
  const auto known = static_cast<size_t>(depth) * kPageTokens;
  for (size_t i = 0; i < known; i += kPageTokens)
    at = index_.after(at, tokens.subspan(i, kPageTokens));
  for (const auto place : index_.match(at, tokens.subspan(known), options_.min_common)) {
    const auto& run = *index_.find(place.run);
    const auto page =
        std::span(run.tokens).subspan(static_cast<size_t>(place.page) * kPageTokens, kPageTokens);
    out.tokens.insert(out.tokens.end(), page.begin(), page.end());
    out.places.push_back(static_cast<uint64_t>(place.run) << 32 |
                         static_cast<uint32_t>(place.page));
  }
  return out;
}

void KvDisk::fetch(FetchId id, const Found& found, std::vector<PageId> pages) {
  FetchJob job;
  job.id = id;
  for (size_t i = 0; i < pages.size(); ++i)
    job.places.push_back({static_cast<RunId>(found.places[i] >> 32),
                          static_cast<int32_t>(found.places[i] & 0xFFFFFFFF)});
  job.pages = std::move(pages);
  std::lock_guard lock(mutex_);
  to_fetch_.push_back(std::move(job));
  changed_.notify_all();
}

std::vector<ColdPages::Fetched> KvDisk::take_fetched() {
  std::lock_guard lock(mutex_);
  return std::exchange(fetched_, {});
}

void KvDisk::forget(const std::string& tenant, std::span<const TokenId> tokens) {
  if (tokens.size() < kPageTokens) return;
  std::lock_guard lock(mutex_);
  for (RunId run : index_.below(index_.root(tenant), tokens.first(kPageTokens)))
    if (index_.find(run)->ready) drop_locked(run, "its results were not finite");
}

void KvDisk::drop(RunId run, const std::string& why) {
  std::lock_guard lock(mutex_);
  drop_locked(run, why);
}

void KvDisk::drop_locked(RunId id, const std::string& why) {
  const auto* run = index_.find(id);
  if (run == nullptr) return;
  log::info("keys and values on disk: a file is deleted: {}: {}", run->file_name(), why);
  ::unlink((options_.folder + "/" + run->file_name()).c_str());
  index_.remove(id);
  ++stats_.files_refused;
}

bool KvDisk::make_room_locked() {
  const auto run = index_.oldest_leaf();
  if (!run) return false;
  ::unlink((options_.folder + "/" + index_.find(*run)->file_name()).c_str());
  index_.remove(*run);
  ++stats_.files_evicted;
  return true;
}

void KvDisk::finish() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  changed_.notify_all();
  changed_.wait_for(lock, std::chrono::duration<double>(options_.finish_seconds),
                    [this] { return to_write_.empty(); });
  // What is left is given up.
  for (auto& job : to_write_) job->limit = 0;
}

void KvDisk::wait_idle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return to_write_.empty() && to_fetch_.empty(); });
}

KvDiskStats KvDisk::stats() const {
  std::lock_guard lock(mutex_);
  KvDiskStats out = stats_;
  out.files = index_.n_runs();
  out.used_bytes = index_.used_bytes();
  return out;
}

}  // namespace xh
