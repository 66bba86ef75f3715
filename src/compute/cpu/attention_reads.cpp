#include "compute/cpu/attention_reads.h"

#include <algorithm>

namespace xh::cpu {

void add_reads(std::span<const uint8_t* const> pages, const KvPages::Head& head,
               const AttentionKernels& kernels, int64_t columns, int64_t from, int64_t to,
               std::vector<Ahead::Run>& out) {
  int64_t at = 0;  // of all that is read
  auto add = [&](const uint8_t* data, int64_t n) {
    const int64_t begin = std::clamp<int64_t>(from - at, 0, n),
                  end = std::clamp<int64_t>(to - at, 0, n);
    if (begin < end) out.push_back({data + begin, data + end});
    at += n;
  };
  for (const uint8_t* page : pages) {
    add(page, head.v_offset);
    add(page + head.v_scales_offset, head.bytes - head.v_scales_offset);
  }
  const int64_t panels = head.v_pad / kPanelRows;
  columns = std::min<int64_t>(columns, kernels.weigh_columns);
  for (int64_t d = 0, n; d < panels && at < to; d += n) {
    n = kernels.panels_together(columns, panels - d);
    for (const uint8_t* page : pages)
      add(page + head.v_offset + d * head.v_panel_bytes, n * head.v_panel_bytes);
  }
}

}  // namespace xh::cpu
