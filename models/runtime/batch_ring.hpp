// A bounded ring of batches from one reader to many workers, who take runs of adjacent batches.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "workloads/stream.hpp"

namespace tally {

/// Bounded, single producer, multiple consumers, lock-free; never blocks. How to wait when it is full or
/// empty is the model's own affair: that is what models differ in.
///
/// The producer pushes a stream's batches in order, so those in the ring are adjacent, and a worker that
/// takes several counts them as one range. Runs shrink as the ring drains (guided self-scheduling:
/// Polychronopoulos & Kuck, IEEE Trans. Computers C-36, 1987), so that workers end together.
class BatchRing {
 public:
  /// Batches that fit. Enough that a sleeping reader costs nothing beside the work, little enough to stay in
  /// cache.
  static constexpr std::uint64_t kCapacity = 4096;

  /// `workers` is how many take from the ring.
  explicit BatchRing(int workers) : share_(2 * static_cast<std::uint64_t>(std::max(1, workers))) {}
  BatchRing(BatchRing const&) = delete;
  BatchRing& operator=(BatchRing const&) = delete;

  /// Adds the next batch; false if the ring is full. Producer only.
  bool try_push(Range batch) noexcept {
    std::uint64_t const tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ == kCapacity) {
      // Acquire: what consumers read from a slot they have freed happens before it is written again.
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ == kCapacity) return false;
    }
    Slot& slot = slots_[tail % kCapacity];
    slot.begin.store(batch.begin, std::memory_order_relaxed);
    slot.end.store(batch.end, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  /// Takes the oldest batches as one range: 1 / (2 workers) of what is there, at least one; empty if there is
  /// none.
  Range try_pop_run() noexcept {
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    for (;;) {
      std::uint64_t const available = tail_.load(std::memory_order_acquire) - head;
      if (available == 0 || available > kCapacity) {
        std::uint64_t const now = head_.load(std::memory_order_relaxed);
        if (now == head) return {};
        head = now;  // others took them meanwhile
        continue;
      }
      std::uint64_t const n = std::max<std::uint64_t>(1, available / share_);
      // The slots may be rewritten while they are read here, if others have moved the head on; then the
      // exchange fails and what was read is dropped. The head only grows, so it cannot succeed by
      // coincidence.
      Range const run{slots_[head % kCapacity].begin.load(std::memory_order_relaxed),
                      slots_[(head + n - 1) % kCapacity].end.load(std::memory_order_relaxed)};
      // Sequentially consistent, so that a consumer that looks for a waiting producer afterwards cannot miss
      // it.
      if (head_.compare_exchange_weak(head, head + n, std::memory_order_seq_cst, std::memory_order_relaxed))
        return run;
    }
  }

  /// Batches in the ring; exact only where nobody pushes or pops.
  std::uint64_t size() const noexcept {
    std::uint64_t const head = head_.load(std::memory_order_seq_cst);
    return tail_.load(std::memory_order_seq_cst) - head;
  }
  bool empty() const noexcept { return size() == 0; }
  /// So much that waking a worker that sleeps pays: one woken for less would soon sleep again. A producer
  /// that itself is about to wait wakes whatever there is.
  bool worth_waking() const noexcept { return size() >= kCapacity / 8; }
  /// Room enough that waking a producer pays.
  bool half_empty() const noexcept { return size() <= kCapacity / 2; }

 private:
  struct Slot {
    std::atomic<std::uint64_t> begin{0};
    std::atomic<std::uint64_t> end{0};
  };
  std::uint64_t const share_;
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  std::uint64_t head_seen_ = 0;  // the producer's last look at the head, beside its own line
  alignas(64) std::atomic<std::uint64_t> head_{0};
  alignas(64) std::array<Slot, kCapacity> slots_;
};

/// How many pushes go by between two looks at how full the ring is, and for sleeping workers: a look costs as
/// much as many pushes.
inline constexpr std::uint64_t kPushesPerWake = 32;

}  // namespace tally
