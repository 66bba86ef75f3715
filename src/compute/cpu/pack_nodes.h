// Packed weights and memory nodes: each thread's panels shall lie near it.
//
// What the pool packs lies right by itself, for its threads touch it first. The pages of a mapped
// file belong to the page cache: the kernel puts them where the thread runs that has them read, and
// moves them when asked, once they are in the page tables and if no other process has mapped them.
#pragma once

#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "compute/cpu/pack_file.h"

namespace xh::cpu {

// Starts reading what is not in memory yet, each node its own part.
void read_ahead(const MappedFile& file, const PackTable& table, ThreadPool& pool);
// Brings pages that have been touched to their place: where there is one node into huge pages, else
// to the node of the threads that use them.
void settle(const MappedFile& file, const PackTable& table, const ThreadPool& pool);

}  // namespace xh::cpu
