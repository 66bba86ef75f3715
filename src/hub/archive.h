// Zip archives (Python wheels) through libzip: what is in them, and one member to a file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/fetch.h"

namespace xh::hub {

struct ArchiveMember {
  std::string name;  // untrusted; may hold any bytes
  uint64_t bytes = 0;
};

// At most 100,000 members.
Result<std::vector<ArchiveMember>> list_archive(const std::filesystem::path& archive);

// Writes the member, hashed and checked against its CRC, to `target`, in place only when whole.
Result<FetchedFile> extract_member(const std::filesystem::path& archive,
                                   const ArchiveMember& member, const std::filesystem::path& target,
                                   const ProgressFn& progress);

}  // namespace xh::hub
