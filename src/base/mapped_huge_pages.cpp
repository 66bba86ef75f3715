#include "base/mapped_huge_pages.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "base/huge_pages.h"
#include "base/log.h"

namespace xh {
namespace {

#ifndef MADV_COLLAPSE
constexpr int MADV_COLLAPSE = 25;  // Linux 6.1; Debian 12's C library does not know it
#endif

// PAGEMAP_SCAN, Linux 6.7 (Documentation/admin-guide/mm/pagemap.rst), which Debian 12's headers do
// not know.
struct PagemapRegion {
  uint64_t start, end, categories;
};
struct PagemapScan {
  uint64_t size, flags, start, end, walk_end, regions, n_regions, max_pages, category_inverted,
      category_mask, category_anyof_mask, return_mask;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScan);
constexpr uint64_t kPageIsHuge = 1 << 6;

using Clock = std::chrono::steady_clock;

// Tells of 2 MiB of this process's memory whether they are a huge page.
class PageScanner {
 public:
  PageScanner() : fd_(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {}
  ~PageScanner() {
    if (fd_ >= 0) ::close(fd_);
  }
  PageScanner(const PageScanner&) = delete;
  PageScanner& operator=(const PageScanner&) = delete;

  // Nothing where the kernel cannot tell.
  std::optional<bool> is_huge(const std::byte* at) const {
    PagemapRegion region{};
    PagemapScan scan{.size = sizeof(PagemapScan),
                     .start = reinterpret_cast<uintptr_t>(at),
                     .end = reinterpret_cast<uintptr_t>(at) + kHugePageBytes,
                     .regions = reinterpret_cast<uintptr_t>(&region),
                     .n_regions = 1,
                     .category_mask = kPageIsHuge,
                     .return_mask = kPageIsHuge};
    const int n = ::ioctl(fd_, kPagemapScan, &scan);
    if (n < 0) return std::nullopt;
    return n == 1 && region.end - region.start == kHugePageBytes;
  }

 private:
  int fd_;
};

// Small pages of these bytes become huge ones, without reading them again.
bool collapse(std::byte* data, uint64_t bytes) {
  return ::madvise(data, bytes, MADV_COLLAPSE) == 0;
}

// Only pages that no process has mapped are dropped, and none that are yet to be written.
void read_again(int fd, std::byte* data, uint64_t offset, uint64_t bytes) {
  ::madvise(data + offset, bytes, MADV_DONTNEED);
  ::posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
  ::madvise(data + offset, bytes, MADV_POPULATE_READ);
}

}  // namespace

void prefer_huge_pages(const MappedFile& file) {
  const auto bytes = file.bytes();
  if (bytes.size() >= kHugePageBytes)
    ::madvise(const_cast<std::byte*>(bytes.data()), bytes.size(), MADV_HUGEPAGE);
}

uint64_t huge_page_bytes(const MappedFile& file) {
  const auto begin = reinterpret_cast<uintptr_t>(file.bytes().data());
  const auto end = begin + file.bytes().size();
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  uint64_t huge = 0;
  for (std::string line; std::getline(smaps, line);) {
    uintptr_t first = 0, last = 0;
    uint64_t kib = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &first, &last) == 2)
      inside = first >= begin && first < end;
    else if (inside && std::sscanf(line.c_str(), "FilePmdMapped: %" SCNu64, &kib) == 1)
      huge += kib << 10;
  }
  return huge;
}

void gather_huge_pages(const MappedFile& file, double seconds) {
  const uint64_t bytes = file.bytes().size() / kHugePageBytes * kHugePageBytes;
  if (bytes == 0) return;
  const uint64_t before = huge_page_bytes(file);
  auto* data = const_cast<std::byte*>(file.bytes().data());
  const PageScanner scanner;
  // Where the kernel does not tell which pages are small, large pieces are tried, if there is much
  // to gain.
  const bool exact = scanner.is_huge(data).has_value();
  if (before >= (exact ? bytes : bytes / 4 * 3)) return;
  const int fd = ::open(file.path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return;
  const uint64_t piece = exact ? kHugePageBytes : 64 << 20;
  const auto begin = Clock::now();
  const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  uint64_t huge = before;
  int in_vain = 0;  // pieces in a row: memory itself is in pieces, or others have mapped them
  for (uint64_t offset = 0; offset < bytes && spent() < seconds && in_vain < (exact ? 8 : 3);
       offset += piece) {
    const uint64_t n = std::min(piece, bytes - offset);
    if (exact && scanner.is_huge(data + offset) == true) continue;
    if (!collapse(data + offset, n)) read_again(fd, data, offset, n);
    const uint64_t now =
        exact ? huge + (scanner.is_huge(data + offset) == true ? n : 0) : huge_page_bytes(file);
    in_vain = now > huge ? 0 : in_vain + 1;
    huge = now;
  }
  ::close(fd);
  log::debug("{}: {} of {} MB in huge pages, {} before, after {:.1f} s", file.path(), huge >> 20,
             bytes >> 20, before >> 20, spent());
}

}  // namespace xh
