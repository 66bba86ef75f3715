// What a thread will read from memory before long, in its order, for products to fetch meanwhile.
// They take a piece at a time: Ahead, which attention's kernels walk line by line, costs a product
// what it gains.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace xh::cpu {

class LaterReads {
 public:
  // Empty again, and full from `most` bytes on.
  void reset(int64_t most) {
    runs_.clear();
    at_ = 0;
    done_ = 0;
    room_ = most;
  }
  bool full() const { return room_ <= 0; }
  void add(const std::byte* data, int64_t bytes) {
    room_ -= bytes;
    if (!runs_.empty() && runs_.back().data + runs_.back().bytes == data)
      runs_.back().bytes += bytes;
    else
      runs_.push_back({data, bytes});
  }
  // The next `bytes` or, at a run's end, fewer: what lies behind it is of no use and no harm.
  // Null when all were taken.
  const std::byte* take(int64_t bytes) {
    if (at_ == runs_.size()) return nullptr;
    const std::byte* data = runs_[at_].data + done_;
    done_ += bytes;
    if (done_ >= runs_[at_].bytes) {
      ++at_;
      done_ = 0;
    }
    return data;
  }

 private:
  struct Run {
    const std::byte* data;
    int64_t bytes;
  };
  std::vector<Run> runs_;
  size_t at_ = 0;     // of runs_
  int64_t done_ = 0;  // bytes of it
  int64_t room_ = 0;
};

}  // namespace xh::cpu
