// Files in huge pages. With 4 KiB pages, reading weights from memory waits for page tables: one
// thread of an Emerald Rapids decodes at 0.76 of the memory's limit, and with huge pages at 0.90.
//
// The page cache holds a file in the pieces it was written or read in. Linux makes those 2 MiB for
// a file system with large folios (ext4 from 6.16, XFS from 5.18) when it reads for a mapping that
// asks, or is given whole, aligned 2 MiB to write.
#pragma once

#include <cstdint>

#include "base/mapped_file.h"

namespace xh {

// Asks that what is read for this mapping from now on comes in huge pages.
void prefer_huge_pages(const MappedFile& file);

// Bytes that this process's page tables map as huge pages; 0 where the system does not tell.
uint64_t huge_page_bytes(const MappedFile& file);

// Mends a file that lies in memory in small pieces, because it was copied or read by others: merges
// them where the kernel can, else drops them and reads again, for at most `seconds` and as long as
// it helps. Pages must have been touched; reading them meanwhile is allowed.
void gather_huge_pages(const MappedFile& file, double seconds);

}  // namespace xh
