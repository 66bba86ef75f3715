// A fixed set of threads that run one function together. Made for work that comes in bursts of
// microseconds: workers spin for a short while after each job and sleep when nothing comes.
//
// On a machine of several memory nodes the threads are dealt out to them in order, as many as each
// has cores: the first ones to the first node. A worker may run on any CPU of its node and on no
// other. The caller, thread 0, is brought to the first node when a job finds it elsewhere; its mask
// stays, since it may start other threads, which inherit it.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/numa.h"

namespace xh {

// The contiguous share [begin, end) of `n` items that thread `i` of `count` works on.
struct Share {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};
inline Share share_of(int64_t n, int32_t i, int32_t count) {
  return {n * i / count, n * (i + 1) / count};
}

// run() must be called by one thread at a time; that caller works as thread 0.
class ThreadPool {
 public:
  // Without nodes the threads run where the kernel puts them.
  explicit ThreadPool(int32_t n_threads, std::span<const MemoryNode> nodes = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int32_t size() const { return size_; }

  // The threads of one node. One team holds all threads where only one node has any.
  struct Team {
    int32_t first, count;
    MemoryNode node;
    // What its threads have of `n` items under share_of(n, thread, size()).
    Share share(int64_t n, int32_t pool_size) const {
      return {share_of(n, first, pool_size).begin, share_of(n, first + count - 1, pool_size).end};
    }
  };
  std::span<const Team> teams() const { return teams_; }
  const Team& team_of(int32_t thread) const;

  // Calls f(thread) once for each thread 0 … size() - 1 and returns when all calls have returned.
  template <class F>
  void run(F&& f) {
    run_erased(
        [](void* arg, int32_t thread) { (*static_cast<std::remove_reference_t<F>*>(arg))(thread); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

  // Inside run(): every thread must call it; returns when all have, with their writes visible.
  void barrier();

 private:
  // A counter that threads wait on: a while spinning, then asleep. Sleeping (and not yielding) lets
  // a peer that lost its core to another program come back quickly.
  struct alignas(64) Event {
    std::atomic<uint32_t> count{0};
    std::atomic<int32_t> sleepers{0};
    void advance();
    void wait_past(uint32_t seen, int32_t spins);
  };
  using Job = void (*)(void*, int32_t);
  void run_erased(Job job, void* arg);
  void work(int32_t thread);
  bool placed() const { return teams_.size() > 1; }

  int32_t size_;
  std::vector<Team> teams_;
  std::vector<std::thread> threads_;
  Job job_ = nullptr;
  void* arg_ = nullptr;
  bool stop_ = false;
  Event started_, finished_, passed_;  // jobs begun, jobs ended, barriers passed
  alignas(64) std::atomic<int32_t> running_{0};
  alignas(64) std::atomic<int32_t> arrived_{0};
};

}  // namespace xh
