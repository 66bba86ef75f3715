#include "base/mapped_huge_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

#include "base/huge_pages.h"
#include "base/log.h"

namespace xh {
namespace {

#ifndef MADV_COLLAPSE
constexpr int MADV_COLLAPSE = 25;  // Linux 6.1; Debian 12's C library does not know it
#endif

using Clock = std::chrono::steady_clock;

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
  if (before >= bytes / 4 * 3) return;
  const int fd = ::open(file.path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return;
  auto* data = const_cast<std::byte*>(file.bytes().data());
  constexpr uint64_t kPiece = 64 << 20;
  const auto begin = Clock::now();
  const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  uint64_t huge = before;
  int in_vain = 0;  // pieces in a row: some are huge already, many say that memory is in pieces
  for (uint64_t offset = 0; offset < bytes && spent() < seconds && in_vain < 3; offset += kPiece) {
    const uint64_t n = std::min(kPiece, bytes - offset);
    if (!collapse(data + offset, n)) read_again(fd, data, offset, n);
    const uint64_t now = huge_page_bytes(file);
    in_vain = now > huge ? 0 : in_vain + 1;
    huge = now;
  }
  ::close(fd);
  log::debug("{}: {} of {} MB in huge pages, {} before, after {:.1f} s", file.path(), huge >> 20,
             bytes >> 20, before >> 20, spent());
}

}  // namespace xh
