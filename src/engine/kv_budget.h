// How much memory the keys and values may take when nobody says.
#pragma once

#include <cstdint>

namespace xh {

// Bytes this process could still allocate: the machine's available memory, or what is left under
// the control group's limit if that is less. 0: unknown.
uint64_t available_memory_bytes();

}  // namespace xh
