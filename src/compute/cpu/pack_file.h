// The file of packed weights, made to be mapped and used in place.
//
//   magic      8 bytes  "xhpack" 1A 0A
//   version    u32      which layout of kernels/packed_layout.h, and how this file is built
//   entries    u32
//   head       u64      bytes of header and table together
//   file       u64      bytes of the whole file
//   stamp      u64      of the source files (pack_cache.cpp)
//   digest     u64      of the head, with this field zero
//   then for each entry: u32 bytes of the name, the name, u32 type, i64 out, i64 in, u64 offset,
//   u64 bytes, u64 digest of the packed bytes, u64 digest of the source tensor's bytes
//
// Entries begin at multiples of 4096, in the order of the table, without overlap. Numbers are
// little-endian. The bytes are untrusted: parse_pack() checks every field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compute/cpu/kernels/packed_layout.h"
#include "tensor/dtype.h"

namespace xh::cpu {

// One number for each layout. With every change of one it gets the next number that was never used:
// files of other versions are made anew.
constexpr uint32_t pack_version(Layout layout) {
  return layout == Layout::kInterleaved ? 3 : 4;
}
constexpr uint64_t kPackAlign = 4096;

struct PackEntry {
  std::string name;
  DType type = DType::kF32;
  int64_t out = 0, in = 0;
  uint64_t offset = 0, bytes = 0;
  uint64_t digest = 0;         // of the packed bytes
  uint64_t source_digest = 0;  // of the tensor they were made from
};

struct PackTable {
  uint64_t stamp = 0;
  std::vector<PackEntry> entries;  // in the order of the file
  Layout layout = Layout::kInterleaved;

  const PackEntry* find(std::string_view name) const;
};

// Names are unique and every entry lies inside `file`; contents are not looked at.
Result<PackTable> parse_pack(std::span<const std::byte> file, std::string_view label);

// Sets the entries' offsets from their bytes and returns the size of the file.
uint64_t place_entries(PackTable& table);
// Header and table, once offsets and digests are known.
std::string pack_head(const PackTable& table, uint64_t file_bytes);

}  // namespace xh::cpu
