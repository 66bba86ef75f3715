#include "hub/archive.h"

#include <unistd.h>
#include <zip.h>

#include <memory>

#include "hub/digest.h"
#include "hub/file_io.h"

namespace xh::hub {
namespace {

constexpr zip_int64_t kMaxMembers = 100'000;
constexpr size_t kBufferBytes = 1 << 20;

struct CloseZip {
  void operator()(zip_t* zip) const { zip_discard(zip); }
};
struct CloseMember {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using Zip = std::unique_ptr<zip_t, CloseZip>;

Result<Zip> open_zip(const std::filesystem::path& path) {
  int code = 0;
  Zip zip(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code));
  if (zip) return zip;
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string why = zip_error_strerror(&error);
  zip_error_fini(&error);
  return fail(ErrorCode::kCorrupt, "is not a sound zip archive: " + why, path.string());
}

Result<ArchiveMember> member_at(zip_t* zip, zip_uint64_t index, const std::filesystem::path& path) {
  zip_stat_t status;
  zip_stat_init(&status);
  constexpr zip_uint64_t kWanted = ZIP_STAT_NAME | ZIP_STAT_SIZE;
  if (zip_stat_index(zip, index, ZIP_FL_ENC_RAW, &status) != 0 ||
      (status.valid & kWanted) != kWanted)
    return fail(ErrorCode::kCorrupt, "has a member without name or size", path.string());
  return ArchiveMember{status.name, status.size};
}

}  // namespace

Result<std::vector<ArchiveMember>> list_archive(const std::filesystem::path& archive) {
  XH_TRY(Zip zip, open_zip(archive));
  const zip_int64_t count = zip_get_num_entries(zip.get(), 0);
  if (count < 0 || count > kMaxMembers)
    return fail(ErrorCode::kTooLarge, "has too many members", archive.string());
  std::vector<ArchiveMember> out;
  for (zip_int64_t i = 0; i < count; ++i) {
    XH_TRY(ArchiveMember member, member_at(zip.get(), static_cast<zip_uint64_t>(i), archive));
    out.push_back(std::move(member));
  }
  return out;
}

Result<FetchedFile> extract_member(const std::filesystem::path& archive,
                                   const ArchiveMember& member, const std::filesystem::path& target,
                                   const ProgressFn& progress) {
  XH_TRY(Zip zip, open_zip(archive));
  XH_TRY_VOID(check_disk_space(target.parent_path(), member.bytes));
  const zip_int64_t index = zip_name_locate(zip.get(), member.name.c_str(), ZIP_FL_ENC_RAW);
  const std::unique_ptr<zip_file_t, CloseMember> in(
      index < 0 ? nullptr : zip_fopen_index(zip.get(), static_cast<zip_uint64_t>(index), 0));
  if (!in)
    return fail(ErrorCode::kCorrupt,
                std::string("cannot read a member: ") + zip_strerror(zip.get()), archive.string());

  const std::filesystem::path part = std::filesystem::path(target) += ".part";
  XH_TRY(File out, File::open_exclusive(part));
  XH_TRY_VOID(out.truncate(0, part));
  Sha256 sha;
  std::vector<std::byte> buffer(kBufferBytes);
  uint64_t done = 0;
  for (;;) {
    const zip_int64_t got = zip_fread(in.get(), buffer.data(), buffer.size());
    if (got < 0 ||
        done + static_cast<uint64_t>(got) > member.bytes) {  // libzip checks the CRC at the end
      ::unlink(part.c_str());
      return fail(ErrorCode::kCorrupt, "a member is damaged", archive.string());
    }
    if (got == 0) break;
    const auto data = std::span<const std::byte>(buffer).first(static_cast<size_t>(got));
    XH_TRY_VOID(out.write(data, part));
    sha.update(data);
    done += data.size();
    if (!progress("unpacking " + target.filename().string(), done, member.bytes)) {
      ::unlink(part.c_str());
      return fail(ErrorCode::kCancelled, "stopped", archive.string());
    }
  }
  if (done != member.bytes) {
    ::unlink(part.c_str());
    return fail(ErrorCode::kCorrupt, "a member is shorter than it says", archive.string());
  }
  XH_TRY_VOID(out.flush(part));
  XH_TRY_VOID(rename_flushed(part, target));
  return FetchedFile{target, done, sha.finish()};
}

}  // namespace xh::hub
