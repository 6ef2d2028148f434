// When which connection's next reply is due: a binary heap.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tally {

/// A connection's next reply is due. The generation tells the connection from an earlier one with the same
/// descriptor.
struct Timer {
  std::int64_t due_ns;
  int fd;
  std::uint32_t generation;
};

/// Timers by due time. Timers of connections that have gone stay until they are due: whoever pops one checks
/// its generation, which costs less than finding it. At the 10,000 timers that Tally has, a heap of 16 bytes
/// each stays in the processor's second-level cache.
class TimerQueue {
 public:
  bool empty() const noexcept { return heap_.empty(); }
  /// The earliest. Not of an empty queue.
  Timer const& top() const noexcept { return heap_.front(); }
  void push(Timer const& timer) {
    heap_.push_back(timer);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  /// Removes the earliest. Not of an empty queue.
  void pop() noexcept {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
  }

 private:
  static bool later(Timer const& a, Timer const& b) noexcept { return a.due_ns > b.due_ns; }
  std::vector<Timer> heap_;
};

}  // namespace tally
