#include "base/thread_pool.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace xh {
namespace {

// Longer than the gaps inside a forward pass and than picking a token, about a millisecond; short
// enough that an idle server sleeps.
constexpr int32_t kSpinsForWork = 1 << 14;
// For a peer that is at work, tens of microseconds.
constexpr int32_t kSpinsForPeers = 1 << 10;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Not std::atomic::wait: that yields the core first, for a whole time slice when others want it.
void futex(std::atomic<uint32_t>& word, int operation, uint32_t value) {
  static_assert(sizeof word == sizeof(uint32_t));
  syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}

}  // namespace

ThreadPool::ThreadPool(int32_t n_threads, std::span<const MemoryNode> nodes)
    : size_(std::max(1, n_threads)) {
  const int64_t cores = physical_cores(nodes);
  int64_t before = 0;  // cores of the nodes before
  int32_t first = 0;
  for (const auto& node : nodes) {
    before += node.cores;
    // Thread i belongs to core i * cores / size_.
    const auto end = static_cast<int32_t>((before * size_ + cores - 1) / cores);
    if (end > first) teams_.push_back({first, end - first, node});
    first = end;
  }
  if (teams_.empty()) teams_.push_back({0, size_, {}});
  threads_.reserve(static_cast<size_t>(size_ - 1));
  for (int32_t i = 1; i < size_; ++i) threads_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  started_.advance();
  for (auto& thread : threads_) thread.join();
}

const ThreadPool::Team& ThreadPool::team_of(int32_t thread) const {
  size_t i = 0;
  while (thread >= teams_[i].first + teams_[i].count) ++i;
  return teams_[i];
}

// Sequentially consistent on both sides: either the waiter sees the new count before it sleeps, or
// we see the sleeper.
void ThreadPool::Event::advance() {
  count.fetch_add(1);
  if (sleepers.load() > 0) futex(count, FUTEX_WAKE_PRIVATE, INT_MAX);
}

void ThreadPool::Event::wait_past(uint32_t seen, int32_t spins) {
  for (; spins > 0; --spins) {
    if (count.load(std::memory_order_acquire) != seen) return;
    pause_cpu();
  }
  sleepers.fetch_add(1);
  while (count.load() == seen) futex(count, FUTEX_WAIT_PRIVATE, seen);
  sleepers.fetch_sub(1);
}

void ThreadPool::run_erased(Job job, void* arg) {
  if (size_ == 1) return job(arg, 0);
  if (placed()) visit(teams_.front().node.cpus);
  job_ = job;
  arg_ = arg;
  running_.store(size_ - 1, std::memory_order_relaxed);
  const uint32_t ended = finished_.count.load(std::memory_order_relaxed);
  started_.advance();
  job(arg, 0);
  finished_.wait_past(ended, kSpinsForPeers);
}

void ThreadPool::work(int32_t thread) {
  if (placed()) bind_thread(team_of(thread).node.cpus);
  for (uint32_t seen = 0;; ++seen) {
    started_.wait_past(seen, kSpinsForWork);
    if (stop_) return;
    job_(arg_, thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) finished_.advance();
  }
}

void ThreadPool::barrier() {
  if (size_ == 1) return;
  const uint32_t seen = passed_.count.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    passed_.advance();
  } else {
    passed_.wait_past(seen, kSpinsForPeers);
  }
}

}  // namespace xh
