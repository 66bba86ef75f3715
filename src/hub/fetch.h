// Brings one remote file to the disk: resumed, retried, verified, and only then in place.
//
// While it grows it is TARGET.part, with TARGET.part.json beside it saying which bytes these are
// (the SHA-256 they shall have, and the ETag of the answer). A later fetch of the same goes on
// there.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "hub/http.h"

namespace xh::hub {

struct RemoteFile {
  std::string name;    // what messages and progress call it
  uint64_t bytes = 0;  // 0: unknown
  std::string sha256;  // empty: the hub states none, the digest is only recorded
  HttpRequest request;
};

struct FetchedFile {
  std::filesystem::path path;
  uint64_t bytes = 0;
  std::string sha256;  // of what lies there
};

// Called often, from the calling thread; total 0 is unknown. Answers false to stop.
using ProgressFn = std::function<bool(const std::string& what, uint64_t done, uint64_t total)>;

// `target`'s folder must exist. kUnavailable when another process is fetching the same file.
Result<FetchedFile> fetch_file(const RemoteFile& file, const std::filesystem::path& target,
                               const RetryPolicy& policy, const ProgressFn& progress);

// Copies a local file the same way: hashed while it is copied, in place only when whole.
Result<FetchedFile> copy_file(const std::filesystem::path& from,
                              const std::filesystem::path& target, const ProgressFn& progress);

// An error unless the file system of `folder` has room for `bytes` more.
Result<void> check_disk_space(const std::filesystem::path& folder, uint64_t bytes);

}  // namespace xh::hub
