// A bounded queue for any number of producers and consumers.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace tally {

/// Bounded, first in first out, for any number of producers and consumers (Vyukov, "Bounded MPMC queue",
/// 1024cores.net); it never blocks, and how to wait where it is full or empty is for its user. A consumer may
/// take several elements with one operation on the shared position.
///
/// `T` is default constructible, and moved without throwing. What has been moved out is destroyed when its
/// slot is written again, or with the queue.
template <class T, std::size_t kCapacity>
class BoundedQueue {
  static_assert(std::has_single_bit(kCapacity) && kCapacity > 1);

 public:
  BoundedQueue() {
    for (std::size_t i = 0; i < kCapacity; ++i) slots_[i].turn.store(i, std::memory_order_relaxed);
  }
  BoundedQueue(BoundedQueue const&) = delete;
  BoundedQueue& operator=(BoundedQueue const&) = delete;

  /// Adds `value`; false, with `value` untouched, if the queue is full, or seems to be since a consumer has
  /// been preempted while it took the oldest: try again.
  bool try_push(T& value) noexcept {
    std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Slot& slot = slots_[tail % kCapacity];
      std::uint64_t const turn = slot.turn.load(std::memory_order_acquire);
      if (turn == tail) {
        if (!tail_.compare_exchange_weak(tail, tail + 1, std::memory_order_relaxed)) continue;
        slot.value = std::move(value);
        slot.turn.store(tail + 1, std::memory_order_release);
        return true;
      }
      if (turn < tail) return false;
      tail = tail_.load(std::memory_order_relaxed);  // another producer was faster
    }
  }

  /// Adds the first of `values`, as many as there is room for, with one operation on the shared position; how
  /// many. Those are moved from.
  std::size_t try_push(std::span<T> values) noexcept {
    std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    for (;;) {
      std::size_t n = 0;
      while (n < values.size() &&
             slots_[(tail + n) % kCapacity].turn.load(std::memory_order_acquire) == tail + n)
        ++n;
      if (n == 0) {
        std::uint64_t const now = tail_.load(std::memory_order_relaxed);
        if (now == tail) return 0;
        tail = now;  // other producers were faster
        continue;
      }
      // While the tail stands, nobody else can fill what was seen to be free.
      if (!tail_.compare_exchange_weak(tail, tail + n, std::memory_order_relaxed)) continue;
      for (std::size_t i = 0; i < n; ++i) {
        Slot& slot = slots_[(tail + i) % kCapacity];
        slot.value = std::move(values[i]);
        slot.turn.store(tail + i + 1, std::memory_order_release);
      }
      return n;
    }
  }

  /// Moves up to out.size() of the oldest elements to the front of `out`, and returns how many; 0 if there is
  /// none, or the oldest is still being written.
  std::size_t try_pop(std::span<T> out) noexcept {
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    for (;;) {
      std::size_t n = 0;
      while (n < out.size() &&
             slots_[(head + n) % kCapacity].turn.load(std::memory_order_acquire) == head + n + 1)
        ++n;
      if (n == 0) {
        std::uint64_t const now = head_.load(std::memory_order_relaxed);
        if (now == head) return 0;
        head = now;  // other consumers were faster
        continue;
      }
      // While the head stands, nobody else can take what was seen to be there.
      if (!head_.compare_exchange_weak(head, head + n, std::memory_order_relaxed)) continue;
      for (std::size_t i = 0; i < n; ++i) {
        Slot& slot = slots_[(head + i) % kCapacity];
        out[i] = std::move(slot.value);
        slot.turn.store(head + i + kCapacity, std::memory_order_release);
      }
      return n;
    }
  }

  /// How many there are, about: others push and pop meanwhile.
  std::size_t size() const noexcept {
    std::uint64_t const head = head_.load(std::memory_order_relaxed);
    std::uint64_t const tail = tail_.load(std::memory_order_relaxed);
    return tail > head ? static_cast<std::size_t>(tail - head) : 0;
  }
  /// Whether there is nothing to take; exact only where nobody pushes or pops.
  bool empty() const noexcept {
    std::uint64_t const head = head_.load(std::memory_order_seq_cst);
    return slots_[head % kCapacity].turn.load(std::memory_order_seq_cst) != head + 1;
  }

 private:
  /// A slot is free for position p when its turn is p, and holds p's element when its turn is p + 1.
  struct Slot {
    std::atomic<std::uint64_t> turn;
    T value{};
  };
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  alignas(64) std::atomic<std::uint64_t> head_{0};
  alignas(64) std::array<Slot, kCapacity> slots_;
};

}  // namespace tally
