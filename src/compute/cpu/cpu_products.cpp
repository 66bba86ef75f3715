// Products of the CPU backend: rows are normalised and rounded, matrices shared out among threads.
#include <algorithm>

#include "compute/cpu/cpu_backend.h"

namespace xh::cpu {

Inputs CpuCompute::prepare_rows(int32_t thread, const Inputs& wanted, MatView x, const Norm* norm,
                                std::span<const int32_t> named) {
  const int64_t rows = wanted.rows;
  const bool by_all = rows <= kRowsPreparedByAll;
  Inputs result = by_all ? inputs(0, thread, rows, x.cols, wanted.rests) : wanted;
  std::copy_n(wanted.needed, 3, result.needed);
  auto* normed = threads_[static_cast<size_t>(thread)].row.as<float>();
  const Share share = by_all ? Share{0, rows} : share_of(rows, thread, pool_.size());
  for (int64_t r = share.begin; r < share.end; ++r) {
    const float* row = x.row(named.empty() ? r : named[static_cast<size_t>(r)]);
    if (norm) table_.rms_norm(row, norm->weight, norm->eps, x.cols, normed);
    result.put(r, 0, norm ? normed : row, x.cols);
  }
  if (!by_all) pool_.barrier();
  return result;
}

template <class F>
void CpuCompute::each_part_of(int32_t thread, Targets targets, const Inputs& in, F&& f) const {
  // The panels that lie on this thread's node are shared out among its team.
  const ThreadPool::Team& team = pool_.team_of(thread);
  int64_t panels = 0;
  for (const Target& t : targets) panels += team.share(t.w.n_panels(), pool_.size()).size();
  Share left = share_of(panels, thread - team.first, team.count);
  for (const Target& t : targets) {
    const ActTiles& x = in.of(t.w);
    const Share near = team.share(t.w.n_panels(), pool_.size());
    const Share mine = {near.begin + std::clamp<int64_t>(left.begin, 0, near.size()),
                        near.begin + std::clamp<int64_t>(left.end, 0, near.size())};
    const bool whole = batch_product(table_, t.w, x);
    each_part(mine, panels_per_pass(table_, t.w, x), x.n_tiles, whole, [&](Part part) {
      part.matrix = static_cast<int32_t>(&t - targets.data());
      f(part);
    });
    left = {left.begin - near.size(), left.end - near.size()};
  }
}

void CpuCompute::plan(ProductParts& parts, Targets targets, const Inputs& in) const {
  parts.plan(in_common(in),
             [&](int32_t thread, auto&& f) { each_part_of(thread, targets, in, f); });
}

void CpuCompute::multiply_all(int32_t thread, ProductParts& parts, Targets targets,
                              const Inputs& in) const {
  parts.run(
      thread, [&](int32_t of, auto&& f) { each_part_of(of, targets, in, f); },
      [&](const Part& part) {
        const Target& t = targets[static_cast<size_t>(part.matrix)];
        multiply_part(table_, t.w, part, in.of(t.w), t.out, own(thread));
      });
}

void CpuCompute::norm_project(MatView x, const Norm& norm, std::span<const Projection> outs) {
  Inputs wanted = normed(x.rows, x.cols);
  targets_.clear();
  for (const auto& out : outs) {
    targets_.push_back({packed(*out.weight), {out.out, out.bias, false}});
    wanted.need(targets_.back().w);
  }
  plan(parts_[0], targets_, wanted);
  pool_.run([&](int32_t thread) {
    const Inputs in = prepare_rows(thread, wanted, x, &norm);
    multiply_all(thread, parts_[0], targets_, in);
  });
}

void CpuCompute::project_add(MatView x, const Matrix& w, const float* bias, MatView residual) {
  const Target target[] = {{packed(w), {residual, bias, true}}};
  Inputs wanted = inputs(0, -1, x.rows, x.cols, false);
  wanted.need(target->w);
  plan(parts_[0], target, wanted);
  pool_.run([&](int32_t thread) {
    const Inputs in = prepare_rows(thread, wanted, x, nullptr);
    multiply_all(thread, parts_[0], target, in);
  });
}

void CpuCompute::head(MatView x, std::span<const int32_t> rows, const Norm& norm, const Matrix& w,
                      MatView logits) {
  if (rows.empty()) return;
  const auto n = static_cast<int64_t>(rows.size());
  const Target target[] = {{packed(w), {logits, nullptr, false}}};
  Inputs wanted = normed(n, x.cols);
  wanted.need(target->w);
  plan(parts_[0], target, wanted);
  pool_.run([&](int32_t thread) {
    const Inputs in = prepare_rows(thread, wanted, x, &norm, rows);
    multiply_all(thread, parts_[0], target, in);
  });
}

}  // namespace xh::cpu
