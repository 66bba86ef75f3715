#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>

#include "base/check.h"

namespace xh {
namespace {

// About half a millisecond of pauses: longer than the gaps inside a forward pass and than picking
// a token, short enough that an idle server sleeps.
constexpr int32_t kSpinsBeforeSleep = 1 << 14;
// Waiting for a peer that is at work: give the core away only if the peer seems to be off its core.
constexpr int32_t kSpinsBeforeYield = 1 << 12;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Done>
void spin_until(Done done) {
  for (int32_t spins = 0; !done(); ++spins) {
    if (spins < kSpinsBeforeYield)
      pause_cpu();
    else
      sched_yield();
  }
}

}  // namespace

int32_t usable_physical_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
    return std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::string siblings;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                       "/topology/thread_siblings_list");
    if (!std::getline(file, siblings)) siblings = "cpu" + std::to_string(cpu);
    cores.insert(siblings);
  }
  return std::max(1, static_cast<int32_t>(cores.size()));
}

ThreadPool::ThreadPool(int32_t n_threads) : size_(std::max(1, n_threads)) {
  threads_.reserve(static_cast<size_t>(size_ - 1));
  for (int32_t i = 1; i < size_; ++i) threads_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::run_erased(Job job, void* arg) {
  if (size_ == 1) return job(arg, 0);
  job_ = job;
  arg_ = arg;
  running_.store(size_ - 1, std::memory_order_relaxed);
  // Sequentially consistent with the worker's parked_ increment: either we see it parked, or it
  // sees the new epoch before it sleeps.
  epoch_.fetch_add(1);
  if (parked_.load() > 0) epoch_.notify_all();
  job(arg, 0);
  spin_until([this] { return running_.load(std::memory_order_acquire) == 0; });
}

void ThreadPool::work(int32_t thread) {
  uint32_t seen = 0;
  for (;;) {
    for (int32_t spins = 0; epoch_.load(std::memory_order_acquire) == seen; ++spins) {
      if (spins < kSpinsBeforeSleep) {
        pause_cpu();
        continue;
      }
      parked_.fetch_add(1);
      epoch_.wait(seen);
      parked_.fetch_sub(1);
    }
    ++seen;
    if (stop_) return;
    job_(arg_, thread);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::barrier() {
  if (size_ == 1) return;
  uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    return;
  }
  spin_until([this, phase] { return phase_.load(std::memory_order_acquire) != phase; });
}

}  // namespace xh
