#include "hub/fetch.h"

#include <fmt/core.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <vector>

#include "base/check.h"
#include "hub/digest.h"
#include "hub/file_io.h"

namespace xh::hub {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCopyBytes = 1 << 20;
constexpr uint64_t kSpareBytes = 64 << 20;      // a disk is not filled to the last byte
constexpr uint64_t kMaxFileBytes = 1ull << 43;  // 8 TiB; a length beyond it is nonsense

fs::path with_suffix(fs::path path, const char* suffix) {
  return path += suffix;
}

// A growing file and the digest of what it holds so far.
class Partial {
 public:
  Partial(const RemoteFile& file, const fs::path& target, const ProgressFn& progress)
      : file_(file),
        part_(with_suffix(target, ".part")),
        note_(with_suffix(target, ".part.json")),
        progress_(progress) {}

  // Takes up what an earlier fetch left when it belongs to the same file.
  Result<void> open() {
    XH_TRY(out_, File::open_exclusive(part_));
    XH_TRY(const uint64_t there, out_.size(part_));
    read_note();
    const bool usable = there > 0 && same_file_ && (file_.bytes == 0 || there <= file_.bytes);
    if (!usable) return restart();
    return hash_existing(there);
  }

  Result<void> restart() {
    XH_TRY_VOID(out_.truncate(0, part_));
    sha_.reset();
    bytes_ = 0;
    etag_.clear();
    return {};
  }

  Result<void> on_head(const HttpHead& head) {
    if (head.total_bytes && (*head.total_bytes > kMaxFileBytes ||
                             (file_.bytes > 0 && *head.total_bytes != file_.bytes)))
      return fail(
          ErrorCode::kCorrupt,
          file_.bytes > 0
              ? fmt::format("has {} bytes, but {} were announced", *head.total_bytes, file_.bytes)
              : fmt::format("claims {} bytes", *head.total_bytes),
          printable_url(file_.request.url), "The mirror may lag behind; try another, or later.");
    if (head.status == 206 && head.from != bytes_)
      return fail(ErrorCode::kCorrupt, "sent another part of the file than asked for",
                  printable_url(file_.request.url));
    if (head.status == 200 && bytes_ > 0) XH_TRY_VOID(restart());  // it changed, or knows no ranges
    total_ = file_.bytes > 0 ? file_.bytes : head.total_bytes.value_or(0);
    if (total_ > bytes_) XH_TRY_VOID(check_disk_space(part_.parent_path(), total_ - bytes_));
    if (head.etag != etag_) {
      etag_ = head.etag;
      XH_TRY_VOID(write_note());
    }
    return {};
  }

  Result<void> take(std::span<const std::byte> data) {
    if (bytes_ + data.size() > (total_ > 0 ? total_ : kMaxFileBytes))
      return fail(ErrorCode::kCorrupt, "sent more bytes than announced",
                  printable_url(file_.request.url));
    XH_TRY_VOID(out_.write(data, part_));
    sha_.update(data);
    bytes_ += data.size();
    progress_(file_.name, bytes_, total_);
    return {};
  }

  // Flushes and puts the file in its place when the digest is right.
  Result<FetchedFile> finish(const fs::path& target) {
    const std::string digest = sha_.finish();
    if (!file_.sha256.empty() && digest != file_.sha256) {
      discard();
      return fail(
          ErrorCode::kCorrupt,
          fmt::format("arrived with SHA-256 {}, but {} was promised", digest, file_.sha256),
          file_.name,
          "Something on the way changes the file. Pull again; if it repeats, use another mirror.");
    }
    XH_TRY_VOID(out_.flush(part_));
    XH_TRY_VOID(rename_flushed(part_, target));
    ::unlink(note_.c_str());
    return FetchedFile{target, bytes_, digest};
  }

  void discard() {
    ::unlink(part_.c_str());
    ::unlink(note_.c_str());
  }

  uint64_t bytes() const { return bytes_; }
  bool complete() const { return file_.bytes > 0 && bytes_ == file_.bytes; }
  const std::string& etag() const { return etag_; }

 private:
  Result<void> hash_existing(uint64_t there) {
    XH_CHECK(lseek(out_.fd(), 0, SEEK_SET) == 0);
    std::vector<std::byte> buffer(kCopyBytes);
    while (bytes_ < there) {
      XH_TRY(const size_t got, out_.read(buffer, part_));
      if (got == 0) break;
      sha_.update(std::span(buffer).first(got));
      bytes_ += got;
      if (!progress_("checking " + file_.name, bytes_, there))
        return fail(ErrorCode::kCancelled, "stopped", file_.name,
                    "The same command goes on where this one stopped.");
    }
    return {};
  }

  // The note is ours, but a damaged one only means to begin anew.
  void read_note() {
    const auto text = read_small_file(note_, 16384);
    if (!text) return;
    boost::system::error_code code;
    const auto value = boost::json::parse(*text, code);
    if (code || !value.is_object()) return;
    const auto field = [&](const char* key) {
      const auto* found = value.as_object().if_contains(key);
      return found != nullptr && found->is_string() ? std::string(found->as_string())
                                                    : std::string();
    };
    etag_ = field("etag");
    // With a promised digest the bytes prove themselves; without one the ETag must vouch for them.
    same_file_ = file_.sha256.empty()
                     ? field("url") == printable_url(file_.request.url) && !etag_.empty()
                     : field("sha256") == file_.sha256;
  }

  Result<void> write_note() {
    const boost::json::object note = {
        {"url", printable_url(file_.request.url)}, {"etag", etag_}, {"sha256", file_.sha256}};
    return write_small_file(note_, boost::json::serialize(note));
  }

  const RemoteFile& file_;
  fs::path part_, note_;
  const ProgressFn& progress_;
  File out_;
  Sha256 sha_;
  uint64_t bytes_ = 0, total_ = 0;
  std::string etag_;
  bool same_file_ = false;
};

// Exchanges until the file is whole, or trying has no point any more.
Result<void> fill(Partial& partial, const RemoteFile& file, const RetryPolicy& policy,
                  const ProgressFn& progress) {
  const StoppedFn stopped = [&] { return !progress(file.name, partial.bytes(), file.bytes); };
  const HeadFn on_head = [&](const HttpHead& head) { return partial.on_head(head); };
  const BodyFn on_body = [&](std::span<const std::byte> data) { return partial.take(data); };
  bool range_refused = false;
  for (int failures = 0; !partial.complete();) {
    HttpRequest request = file.request;
    request.from = partial.bytes();
    request.if_range =
        partial.etag().starts_with("W/") ? "" : partial.etag();  // weak tags do not prove bytes
    const uint64_t before = partial.bytes();
    HttpOutcome outcome = http_exchange(request, policy, on_head, on_body, stopped);
    if (!outcome.error) return {};
    if (outcome.head.status == 416 && before > 0 &&
        !range_refused) {  // what we have is not a beginning of it
      range_refused = true;
      XH_TRY_VOID(partial.restart());
      continue;
    }
    failures = partial.bytes() > before ? 1 : failures + 1;
    const int limit = outcome.reached ? policy.attempts : policy.attempts_unreached;
    if (!outcome.may_retry || failures >= limit ||
        !wait_unless_stopped(retry_wait(policy, failures, outcome.head.retry_after), stopped))
      return std::unexpected(std::move(*outcome.error));
  }
  return {};
}

// A complete file that an interrupted pull of several left behind, when its digest is the promised
// one.
std::optional<FetchedFile> already_whole(const RemoteFile& file, const fs::path& target,
                                         const ProgressFn& progress) {
  if (file.sha256.empty()) return std::nullopt;
  const auto in = File::open_read(target);
  if (!in) return std::nullopt;
  Sha256 sha;
  std::vector<std::byte> buffer(kCopyBytes);
  uint64_t bytes = 0;
  for (;;) {
    const auto got = in->read(buffer, target);
    if (!got || !progress("checking " + file.name, bytes, file.bytes)) return std::nullopt;
    if (*got == 0) break;
    sha.update(std::span(buffer).first(*got));
    bytes += *got;
  }
  if (sha.finish() != file.sha256) return std::nullopt;
  return FetchedFile{target, bytes, file.sha256};
}

}  // namespace

Result<void> check_disk_space(const fs::path& folder, uint64_t bytes) {
  struct statvfs status {};
  if (statvfs(folder.c_str(), &status) != 0)
    return std::unexpected(system_error("measure the disk of", folder));
  const uint64_t free = static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
  if (bytes > UINT64_MAX - kSpareBytes || free < bytes + kSpareBytes)
    return fail(
        ErrorCode::kIo,
        fmt::format("{} MB are needed, {} MB are free", bytes / 1'000'000 + 1, free / 1'000'000),
        folder.string(), "Free some space, or keep models elsewhere with XIAOHU_HOME=/path.");
  return {};
}

Result<FetchedFile> fetch_file(const RemoteFile& file, const fs::path& target,
                               const RetryPolicy& policy, const ProgressFn& progress) {
  if (auto whole = already_whole(file, target, progress)) return *whole;
  for (bool resumed_badly = false;;) {
    Partial partial(file, target, progress);
    XH_TRY_VOID(partial.open());
    const bool resumed = partial.bytes() > 0;
    XH_TRY_VOID(fill(partial, file, policy, progress));
    auto done = partial.finish(target);
    // The part from last time may have been damaged on the disk: worth one try from the beginning.
    if (done || !resumed || resumed_badly || done.error().code != ErrorCode::kCorrupt) return done;
    resumed_badly = true;
  }
}

Result<FetchedFile> copy_file(const fs::path& from, const fs::path& target,
                              const ProgressFn& progress) {
  XH_TRY(File in, File::open_read(from));
  XH_TRY(const uint64_t total, in.size(from));
  XH_TRY_VOID(check_disk_space(target.parent_path(), total));
  const fs::path part = with_suffix(target, ".part");
  XH_TRY(File out, File::open_exclusive(part));
  XH_TRY_VOID(out.truncate(0, part));
  Sha256 sha;
  std::vector<std::byte> buffer(kCopyBytes);
  uint64_t done = 0;
  for (;;) {
    XH_TRY(const size_t got, in.read(buffer, from));
    if (got == 0) break;
    const auto data = std::span<const std::byte>(buffer).first(got);
    XH_TRY_VOID(out.write(data, part));
    sha.update(data);
    done += got;
    if (!progress(target.filename().string(), done, total)) {
      ::unlink(part.c_str());
      return fail(ErrorCode::kCancelled, "stopped", from.string());
    }
  }
  XH_TRY_VOID(out.flush(part));
  XH_TRY_VOID(rename_flushed(part, target));
  return FetchedFile{target, done, sha.finish()};
}

}  // namespace xh::hub
