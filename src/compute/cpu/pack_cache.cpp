#include "compute/cpu/pack_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <set>

#include "base/log.h"
#include "base/mapped_huge_pages.h"
#include "compute/cpu/pack_digest.h"
#include "compute/cpu/pack_nodes.h"
#include "compute/cpu/pack_writer.h"

namespace xh::cpu {
namespace {

// What the source files are: sizes, times, and a few bytes of each for file systems with coarse
// clocks.
uint64_t stamp_of(const std::vector<WeightFile>& sources) {
  constexpr uint64_t kSamples = 16, kSampleBytes = 256;
  std::vector<uint64_t> parts;
  for (const auto& source : sources) {
    const FileStamp& s = source.stamp;
    parts.insert(parts.end(), {s.bytes, static_cast<uint64_t>(s.modified_ns),
                               static_cast<uint64_t>(s.changed_ns)});
    const int fd = ::open(source.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    for (uint64_t i = 0; i < kSamples; ++i) {
      std::byte sample[kSampleBytes] = {};
      const auto at = static_cast<off_t>(s.bytes / kSamples * i);
      if (::pread(fd, sample, sizeof sample, at) > 0) parts.push_back(pack_digest(sample));
    }
    ::close(fd);
  }
  return pack_digest(std::as_bytes(std::span(parts)));
}

bool same_matrix(const PackEntry& a, const PackEntry& b) {
  return a.type == b.type && a.out == b.out && a.in == b.in && a.bytes == b.bytes;
}

const uint8_t* at(const MappedFile& file, const PackEntry& e) {
  return reinterpret_cast<const uint8_t*>(file.bytes().data() + e.offset);
}

// Whoever may replace the packed file decides what the model says.
bool trusted_owner(const MappedFile& file, const std::vector<WeightFile>& sources) {
  if (file.owner() == 0 || file.owner() == ::geteuid()) return true;
  auto source = MappedFile::open(sources.front().path);
  return source && source->owner() == file.owner();
}

}  // namespace

std::unique_ptr<PackCache> PackCache::open(PackCacheOptions options) {
  uint64_t bytes = 0;
  for (const auto& source : options.sources) bytes += source.stamp.bytes;
  if (options.sources.empty() || options.places.empty() || bytes < options.min_bytes) return {};
  std::unique_ptr<PackCache> cache(new PackCache(std::move(options)));
  cache->find_existing();
  return cache;
}

PackCache::PackCache(PackCacheOptions options)
    : options_(std::move(options)), stamp_(stamp_of(options_.sources)) {}

PackCache::~PackCache() {
  using namespace std::chrono;
  const auto end = steady_clock::now() + duration<double>(options_.finish_seconds);
  while (state_ == State::kWriting && steady_clock::now() < end)
    std::this_thread::sleep_for(milliseconds(2));
  writer_.request_stop();
}

void PackCache::find_existing() {
  for (const auto& place : options_.places) {
    auto file = MappedFile::open(place);
    if (!file) {
      if (file.error().code != ErrorCode::kNotFound) log::info("{}", file.error().to_string());
      continue;
    }
    prefer_huge_pages(*file);
    if (!trusted_owner(*file, options_.sources)) {
      log::warn("{}: not used, since it belongs to another user than the model", place);
      continue;
    }
    auto table = parse_pack(file->bytes(), place);
    if (!table) {
      log::info("{}; packing again", table.error().to_string());
      continue;
    }
    if (table->layout != options_.layout) {
      log::info("{}: packed for another instruction set; packing again", place);
      continue;
    }
    if (file_ && table->stamp != stamp_) continue;
    file_ = std::move(*file);
    table_ = std::move(*table);
    same_stamp_ = table_.stamp == stamp_;
    if (same_stamp_) return;  // else the next place may have a better one
  }
}

// The packed bytes of this tensor in the file, or null. Fills wanted's digests when they hold.
const uint8_t* PackCache::mapped(const TensorView& w, PackEntry& wanted, ThreadPool& pool) {
  const PackEntry* have = file_ ? table_.find(wanted.name) : nullptr;
  if (!have || !same_matrix(*have, wanted)) return nullptr;
  if (!same_stamp_) {
    wanted.source_digest = pack_digest({w.data, w.bytes}, &pool);
    if (wanted.source_digest != have->source_digest) return nullptr;
  }
  if (pack_digest(file_->bytes().subspan(have->offset, have->bytes), &pool) != have->digest) {
    log::warn("{}: the packed form of {} is damaged; packing it again", file_->path(), have->name);
    return nullptr;
  }
  wanted.digest = have->digest;
  wanted.source_digest = have->source_digest;
  return at(*file_, *have);
}

Result<std::unique_ptr<PackedMatrix>> PackCache::prepare(const TensorView& w, std::string_view name,
                                                         ThreadPool& pool) {
  if (file_ && !pool_) read_ahead(*file_, table_, pool);
  pool_ = &pool;
  Slot slot;
  XH_TRY(auto sized, PackedMatrix::over(nullptr, w, name, options_.layout));
  slot.entry = {std::string(name), w.type, sized->out(), sized->in(), 0, sized->bytes(), 0, 0};
  slot.data = mapped(w, slot.entry, pool);
  if (slot.data) {
    ++n_mapped_;
  } else {
    XH_TRY(slot.memory, Memory::map(sized->bytes()));
    sized->fill(w, slot.memory.as<uint8_t>(), pool);
    slot.data = slot.memory.as<uint8_t>();
    slot.entry.source_digest = pack_digest({w.data, w.bytes}, &pool);
  }
  slots_.push_back(std::move(slot));
  return PackedMatrix::over(&slots_.back().data, w, name, options_.layout);
}

void PackCache::keep() {
  if (n_mapped_ > 0) settle(*file_, table_, *pool_);
  const bool whole = n_mapped_ == slots_.size() && n_mapped_ == table_.entries.size();
  if (slots_.empty() || state_ != State::kIdle || (whole && same_stamp_)) return;
  std::set<std::string_view> names;
  for (const auto& slot : slots_)
    if (!names.insert(slot.entry.name).second) return;  // two models: none of our business
  state_ = State::kWriting;
  writer_ = std::jthread([this](std::stop_token stop) { write(stop); });
}

bool PackCache::sources_unchanged() const {
  for (const auto& source : options_.sources)
    if (FileStamp::of(source.path) != source.stamp) return false;
  return true;
}

// The writer's thread. It reads the slots, which stay as they are while it runs.
void PackCache::write(std::stop_token stop) {
  PackTable table{stamp_, {}, options_.layout};
  for (const auto& slot : slots_) table.entries.push_back(slot.entry);
  const uint64_t file_bytes = place_entries(table);
  bool done = false;
  for (const auto& place : options_.places) {
    if (!sources_unchanged() || stop.stop_requested()) break;
    const auto written = write_to(place, table, file_bytes, stop);
    done = written.has_value();
    if (done) break;
    log::info("{}", written.error().to_string());
    if (written.error().code == ErrorCode::kUnavailable) break;
  }
  state_ = done ? State::kWritten : State::kFailed;
  state_.notify_all();
}

Result<void> PackCache::write_to(const std::string& place, PackTable& table, uint64_t file_bytes,
                                 std::stop_token stop) {
  const auto begin = std::chrono::steady_clock::now();
  XH_TRY(auto writer, PackWriter::create(place, file_bytes + options_.spare_bytes,
                                         options_.sources.front().path));
  for (size_t i = 0; i < table.entries.size(); ++i) {
    PackEntry& e = table.entries[i];
    const std::span bytes(reinterpret_cast<const std::byte*>(slots_[i].data), e.bytes);
    // What came out of a damaged file was checked before; what was packed is taken as it is.
    e.digest = pack_digest(bytes);
    XH_TRY_VOID(writer.put(bytes, e.offset, stop));
  }
  const std::string head = pack_head(table, file_bytes);
  XH_TRY_VOID(writer.publish(std::as_bytes(std::span(head))));

  XH_TRY(auto file, MappedFile::open(place));
  XH_TRY(auto parsed, parse_pack(file.bytes(), place));
  // Another process may have put its own there in the meantime: as good, but not known to be equal.
  for (size_t i = 0; i < table.entries.size(); ++i)
    if (parsed.entries.size() != table.entries.size() ||
        parsed.entries[i].digest != table.entries[i].digest)
      return {};
  // Page tables are filled here, so that the first step after adopt() does not wait for them.
  prefer_huge_pages(file);
  ::madvise(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), MADV_POPULATE_READ);
  settle(file, parsed, *pool_);
  written_table_ = std::move(parsed);
  written_file_ = std::move(file);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
  log::debug("{}: packed weights kept, {} MB in {:.1f} s", place, file_bytes >> 20, spent.count());
  return {};
}

void PackCache::adopt() {
  if (state_.load(std::memory_order_acquire) != State::kWritten || !written_file_) return;
  file_ = std::move(written_file_);
  written_file_.reset();
  table_ = std::move(written_table_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].data = at(*file_, table_.entries[i]);
    slots_[i].memory = Memory();
  }
}

bool PackCache::wait_written() {
  state_.wait(State::kWriting);
  return state_ == State::kWritten;
}

}  // namespace xh::cpu
