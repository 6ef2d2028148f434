// Where threads sleep until there may be something for them to do.
#pragma once

#include <atomic>
#include <cstdint>

namespace tally {

/// Threads that found nothing to do sleep here, and whoever makes work wakes one of them, or nobody at the
/// cost of a look where nobody sleeps (an eventcount: Vyukov, "Eventcounts", 1024cores.net).
///
///     std::uint32_t const seen = sleepers.prepare();
///     if (!there_is_work()) sleepers.sleep(seen);
///
/// Work that is made before notify_one() is called is seen by there_is_work(), or the sleeper is woken.
class EventCount {
 public:
  /// This thread is about to sleep. It need not do so.
  std::uint32_t prepare() noexcept {
    std::uint32_t const seen = epoch_.load(std::memory_order_acquire);
    // Sequentially consistent, as in notify(): either the waker sees the sleeper, or the sleeper sees the
    // work.
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    return seen;
  }
  /// Sleeps until a notification after prepare() gave `seen`; may return without one.
  void sleep(std::uint32_t seen) noexcept { epoch_.wait(seen, std::memory_order_acquire); }

  /// Wakes one sleeper, if there is any.
  void notify_one() noexcept { notify(1); }
  void notify_all() noexcept { notify(~std::uint32_t{0}); }

 private:
  void notify(std::uint32_t most) noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    std::uint32_t sleepers = sleepers_.load(std::memory_order_relaxed);
    // The waker takes the sleeper off the books: until that one runs, others need not wake it again. One who
    // prepared and did not sleep stays on them, and costs a call for nothing.
    while (sleepers > 0) {
      std::uint32_t const left = most < sleepers ? sleepers - most : 0;
      if (!sleepers_.compare_exchange_weak(sleepers, left, std::memory_order_relaxed)) continue;
      epoch_.fetch_add(1, std::memory_order_release);
      if (most == 1)
        epoch_.notify_one();
      else
        epoch_.notify_all();
      return;
    }
  }

  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};

}  // namespace tally
