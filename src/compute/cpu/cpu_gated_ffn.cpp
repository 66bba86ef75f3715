// A gated FFN of the CPU backend: gate, up and activation together, then down.
#include <algorithm>

#include "compute/cpu/cpu_backend.h"

namespace xh::cpu {
namespace {

constexpr int64_t kUnitPanels = 4;  // of a unit: two of each projection

}  // namespace

// Parts of gate and up: panels are units here, 32 rows of both, which are a block of the inner
// activations.
template <class F>
void CpuCompute::each_gate_part(int32_t thread, const GatedFfn& ffn, const Inputs& in,
                                F&& f) const {
  const PackedMatrix& gate = packed(*ffn.gate);
  const ActTiles& x = in.of(gate);
  const int64_t units = (gate.out() + kBlock - 1) / kBlock;
  // Whole steps: rows are rounded four blocks at a time.
  const int64_t steps = panels_per_pass(table_, gate, x) / kUnitPanels / kGateUnits + 1;
  each_part(share_of(units, thread, pool_.size()), steps * kGateUnits, x.n_tiles,
            gates_whole(ffn, in), f);
}

// gate, up and activation for some units and tiles at a time.
void CpuCompute::gate_part(int32_t thread, const GatedFfn& ffn, const Part& part, const Inputs& in,
                           const Inputs& inner) const {
  const PackedMatrix &gate = packed(*ffn.gate), &up = packed(*ffn.up);
  const ThreadSpace& space = threads_[static_cast<size_t>(thread)];
  const int64_t ff = gate.out();
  const ActTiles& x = in.of(gate);
  const int64_t step = kGateUnits, group = gates_whole(ffn, in) ? kGateTiles : 1;

  auto run = [&](int64_t unit, int64_t n_units, Share tiles) {
    const int64_t row = unit * kBlock, n = std::min(n_units * kBlock, ff - row);
    const int64_t stride = n_units * kBlock, first = x.first(tiles.begin);
    const int64_t columns = x.first(tiles.end - 1) + x.width(tiles.end - 1) - first;
    const Share panels = {2 * unit, 2 * unit + (n + kPanelRows - 1) / kPanelRows};
    const int64_t follower = std::min(part.next.begin + unit - part.panels.begin, part.next.end);
    const Share next = {2 * follower, 2 * std::min(follower + n_units, part.next.end)};
    auto project = [&](const PackedMatrix& w, float* y) {
      multiply_tiles(table_, w, panels, next, in.of(w), tiles, {{y, columns, n, stride}},
                     own(thread));
    };
    auto *gated = space.gated.as<float>(), *raised = space.up.as<float>();
    project(gate, gated);
    project(up, raised);
    for (int64_t c = 0; c < columns; ++c) {
      float* h = gated + c * stride;
      table_.gated(static_cast<int>(ffn.activation), h, raised + c * stride, n, h);
      inner.put(first + c, row, h, n);
    }
  };
  const auto [from, to] = part.panels;
  for (int64_t tile = part.tiles.begin; tile < part.tiles.end; tile += group)
    for (int64_t unit = from; unit < to; unit += step)
      run(unit, std::min(step, to - unit), {tile, std::min(tile + group, part.tiles.end)});
}

void CpuCompute::gated_ffn(const GatedFfn& ffn, MatView residual) {
  const Target down[] = {{packed(*ffn.down), {residual, nullptr, true}}};
  Inputs wanted = normed(residual.rows, residual.cols);
  wanted.need(packed(*ffn.gate));
  wanted.need(packed(*ffn.up));
  Inputs inner = inputs(1, -1, residual.rows, ffn.gate->out(), false);
  inner.need(down->w);
  const auto each = [&](int32_t thread, auto&& f) { each_gate_part(thread, ffn, wanted, f); };
  parts_[0].plan(in_common(wanted), each);
  plan(parts_[1], down, inner);
  pool_.run([&](int32_t thread) {
    const Inputs in = prepare_rows(thread, wanted, residual, &ffn.norm);
    parts_[0].run(thread, each, [&](const Part& part) { gate_part(thread, ffn, part, in, inner); });
    pool_.barrier();
    multiply_all(thread, parts_[1], down, inner);
  });
}

}  // namespace xh::cpu
