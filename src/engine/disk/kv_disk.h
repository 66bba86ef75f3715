// Keys and values on disk (docs/decisions/050): long prefixes are written in the background once
// their results are checked, and come back when a prompt begins with them, after a restart too.
//
// A folder belongs to one process at a time and holds `key`, `lock` and files of runs. A file is
// complete or absent: it is written under another name, synced, then renamed. What is damaged,
// foreign or stale is deleted with a line in the log. Nothing here makes a request fail.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/client.h"
#include "engine/cold_pages.h"
#include "engine/disk/file_descriptor.h"
#include "engine/disk/kv_index.h"

namespace xh {

struct KvDiskOptions {
  std::string folder;
  uint64_t budget_bytes = 0;
  std::string owner;                  // model, build and layout: other owners' files are deleted
  int32_t min_pages = 8;              // shorter paths, and shorter additions, are not written
  int32_t min_common = 8;             // tokens in common that make a partial page worth fetching
  uint64_t spare_bytes = 1ull << 30;  // disk space to leave free
  double finish_seconds = 15;         // how long the end may wait for what is being written
};

// The scheduler's thread calls ColdPages; `kv` is also read and written by the threads in here, a
// page at a time, and only pages that this class was given for it.
class KvDisk final : public ColdPages {
 public:
  // `wake` is called, from another thread, when take_fetched() has something.
  static Result<std::unique_ptr<KvDisk>> open(KvDiskOptions options, KvStore& kv,
                                              std::function<void()> wake);
  ~KvDisk() override;

  Found find(const std::string& tenant, std::span<const TokenId> tokens, int32_t depth) override;
  void fetch(FetchId id, const Found& found, std::vector<PageId> pages) override;
  std::vector<Fetched> take_fetched() override;
  void keep(const std::string& tenant, std::span<const TokenId> tokens,
            std::span<const PageId> pages, bool last_call) override;
  void page_leaves(PageId page) override;
  void forget(const std::string& tenant, std::span<const TokenId> tokens) override;

  // Writes what is queued, as far as the time allows, and takes no more.
  void finish();
  void wait_idle();  // for tests: all that was queued is done
  KvDiskStats stats() const;

 private:
  struct WriteJob {
    RunId run = 0;
    std::vector<PageId> pages;
    size_t limit = 0;  // pages that may still be read
  };
  struct FetchJob {
    FetchId id = 0;
    std::vector<KvIndex::Place> places;
    std::vector<PageId> pages;
  };
  // What a thread needs to know of a run, copied out under the lock.
  struct RunFile {
    std::string path;
    Digest parent{};
    std::vector<TokenId> tokens;
  };

  KvDisk(KvDiskOptions options, KvStore& kv, std::function<void()> wake, KvKey key);
  void scan();
  bool admit_file(const std::string& name);
  void write_all();
  void write_one(WriteJob& job);
  Result<int32_t> write_file(WriteJob& job, const RunFile& run, const std::string& part);
  void finish_write(WriteJob& job, const Result<int32_t>& written, const RunFile& run,
                    const std::string& part, double seconds);
  void release_job_locked(WriteJob& job);
  bool make_room_locked();
  bool has_space(uint64_t bytes) const;
  void fetch_all();
  int32_t fetch_one(const FetchJob& job);
  bool fetch_run(const FetchJob& job, size_t first, size_t n, size_t& good);
  Result<void> read_page(const FileDescriptor& fd, Sealer& sealer, int32_t from, PageId to,
                         const std::string& path);
  void drop(RunId run, const std::string& why);
  void drop_locked(RunId run, const std::string& why);
  uint64_t file_bytes(int32_t n_pages) const;

  KvDiskOptions options_;
  KvStore& kv_;
  std::function<void()> wake_;
  KvKey key_;
  Digest owner_;
  int lock_fd_ = -1;

  mutable std::mutex mutex_;  // all below but read_mutex_
  std::condition_variable changed_;
  KvIndex index_;
  std::deque<std::unique_ptr<WriteJob>> to_write_;  // the first may be in work
  std::unordered_multimap<PageId, WriteJob*> readable_;
  std::deque<FetchJob> to_fetch_;  // the first may be in work
  std::vector<Fetched> fetched_;
  KvDiskStats stats_;
  bool closing_ = false, closed_ = false;
  std::chrono::steady_clock::time_point paused_until_{};  // after a failure to write
  std::mutex read_mutex_;                                 // held while the writer reads a page
  std::thread writer_, fetcher_;
};

}  // namespace xh
