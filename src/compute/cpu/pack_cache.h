// Keeps a model's packed weights on disk, so that the next start maps them instead of packing.
//
// A packed file is used when its stamp says that the source files are the ones it was made from;
// with another stamp (the model was copied or touched) each tensor's digest decides. The packed
// bytes' digests are checked on every start, at the speed of memory, by all threads: what is
// damaged is packed again from the source, and the file is written anew in the background.
// Nothing here makes a load fail: without a place to write, weights are packed at every start.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "compute/cpu/cpu_compute.h"
#include "compute/cpu/pack_file.h"
#include "compute/cpu/packed_matrix.h"

namespace xh::cpu {

struct PackCacheOptions {
  std::vector<WeightFile> sources;
  std::vector<std::string> places;    // paths of the packed file: read from the first that fits,
                                      // written to the first that can be
  uint64_t min_bytes = 32 << 20;      // smaller models are packed in no time
  uint64_t spare_bytes = 1ull << 30;  // disk space to leave free
  Layout layout = Layout::kInterleaved;
  double finish_seconds = 30;  // how long the end of the process may wait for the writer
};

// XIAOHU_PACK_CACHE=off: none. XIAOHU_PACK_CACHE=FOLDER: there. Otherwise beside the first source,
// or where that cannot be written, in $XIAOHU_HOME/packs, $XDG_CACHE_HOME/xiaohu or
// ~/.cache/xiaohu.
PackCacheOptions pack_cache_options(std::vector<WeightFile> sources);

// Owns the memory of the matrices it prepared. One thread at a time.
class PackCache {
 public:
  // Null when there is nothing to keep: no sources, no place, or a small model.
  static std::unique_ptr<PackCache> open(PackCacheOptions options);
  ~PackCache();  // waits a little for a file that is being written
  PackCache(const PackCache&) = delete;
  PackCache& operator=(const PackCache&) = delete;

  // The matrix out of the file, or packed from the tensor. The cache must outlive it, and the pool,
  // always the same one, the cache.
  Result<std::unique_ptr<PackedMatrix>> prepare(const TensorView& w, std::string_view name,
                                                ThreadPool& pool);
  // All matrices are prepared: brings what is mapped to the nodes of its threads, and writes the
  // file in the background unless it holds them already.
  void keep();
  // Moves the matrices over to the file just written and frees the memory they were packed in.
  // Call it when none is in use; costs nothing when there is nothing to do.
  void adopt();

  size_t n_mapped() const { return n_mapped_; }  // matrices that came out of the file
  // Waits for the writer; true when the file holds the matrices now.
  bool wait_written();

 private:
  struct Slot {
    PackEntry entry;
    const uint8_t* data = nullptr;
    Memory memory;  // empty when mapped
  };

  explicit PackCache(PackCacheOptions options);
  void find_existing();
  const uint8_t* mapped(const TensorView& w, PackEntry& wanted, ThreadPool& pool);
  void write(std::stop_token stop);
  Result<void> write_to(const std::string& place, PackTable& table, uint64_t file_bytes,
                        std::stop_token stop);
  bool sources_unchanged() const;

  PackCacheOptions options_;
  const ThreadPool* pool_ = nullptr;  // of prepare()
  uint64_t stamp_ = 0;
  std::optional<MappedFile> file_;  // the slots' data may point into it
  PackTable table_;                 // of file_
  bool same_stamp_ = false;
  std::deque<Slot> slots_;
  size_t n_mapped_ = 0;

  std::optional<MappedFile> written_file_;  // by the writer; for adopt()
  PackTable written_table_;
  enum class State : uint8_t { kIdle, kWriting, kWritten, kFailed };
  std::atomic<State> state_{State::kIdle};
  std::jthread writer_;
};

}  // namespace xh::cpu
