// Writes one file so that others only ever see it whole: into PATH.part, which one process at a
// time may hold, then renamed over PATH.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"

namespace xh::cpu {

// Movable; what was not published is removed.
class PackWriter {
 public:
  // `free_bytes` must be free on the disk. Who may read `like` may read the file. Missing folders
  // are made. kUnavailable when another process is writing it.
  static Result<PackWriter> create(const std::string& path, uint64_t free_bytes,
                                   const std::string& like);
  PackWriter(PackWriter&& other) noexcept;
  PackWriter& operator=(PackWriter&&) = delete;
  ~PackWriter();

  // In ascending order, without overlap; what is left out is zero. kCancelled once a stop is
  // requested.
  Result<void> put(std::span<const std::byte> bytes, uint64_t offset, const std::stop_token& stop);
  // Writes what may be overwritten last: the head.
  Result<void> publish(std::span<const std::byte> head);

 private:
  PackWriter(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string part() const { return path_ + ".part"; }
  Result<void> write(std::span<const std::byte> bytes, uint64_t offset);
  std::unexpected<Error> error(const char* what) const;

  std::string path_;
  int fd_;
  // Whole, aligned huge pages are written, for so the page cache keeps them
  // (base/mapped_huge_pages.h).
  std::vector<std::byte> chunk_;
  uint64_t chunk_offset_ = 0;
};

}  // namespace xh::cpu
