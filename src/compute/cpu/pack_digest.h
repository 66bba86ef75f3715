// A fast 64-bit digest of weights: it finds damage and changed files, and is no protection against
// someone who may write the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace xh::cpu {

// The bytes are cut into pieces of 256 KiB; the result is the digest of the pieces' digests. With a
// pool the pieces are shared out; the result is the same.
uint64_t pack_digest(std::span<const std::byte> bytes, ThreadPool* pool = nullptr);

}  // namespace xh::cpu
