// Facts of the GGUF container (versions 2 and 3) that its reader and its writer share, and the
// limits we put on it.
//
//   header    "GGUF" | version u32 | tensor count u64 | key count u64
//   keys      key string | value type u32 | value
//   tensors   name string | n_dims u32 | dims u64 each, fastest first | type u32 | offset u64
//   padding   to general.alignment (32 unless said)
//   data      tensors at their offsets, each a multiple of the alignment
//
// A string is a length u64 and its bytes; an array is an element type u32, a count u64, and the
// elements. Everything is little-endian. Source: the GGUF specification of the ggml project.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace xh {

constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF"
constexpr uint32_t kGgufVersion = 3;         // what we write
constexpr uint64_t kGgufDefaultAlignment = 32;

// Limits, each far above what models in the wild have.
constexpr uint64_t kGgufMaxKeyBytes = 65535;           // the specification's
constexpr uint64_t kGgufMaxNameBytes = 255;            // the specification says 64
constexpr uint64_t kGgufMaxStringBytes = 16ull << 20;  // chat templates stay below 100 KiB
constexpr uint64_t kGgufMinAlignment = 8;              // the specification's
constexpr uint64_t kGgufMaxAlignment = 1ull << 20;
constexpr uint32_t kGgufMaxDims = 4;
constexpr int64_t kGgufMaxParts = 9999;
// Heap that parsing may take beyond the size of the file.
constexpr uint64_t kGgufHeapAllowance = 48ull << 20;

enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Bytes of one element; 0 for strings, arrays and unknown types.
uint32_t gguf_type_bytes(GgufType type);

// Element types of tensors as numbered in files ("ggml_type").
std::optional<DType> dtype_from_gguf(uint32_t id);
uint32_t dtype_to_gguf(DType type);
// The name of a type that exists but that we cannot read; empty for an unknown number.
std::string_view unreadable_gguf_dtype(uint32_t id);

}  // namespace xh
