// Tasks made of a stream's batches, in a queue that all workers share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "models/model.hpp"
#include "models/runtime/bounded_queue.hpp"
#include "models/runtime/event_count.hpp"
#include "models/runtime/reading_role.hpp"
#include "models/runtime/spin.hpp"

namespace tally {

/// What a model that shares a queue is tuned by.
struct QueueTuning {
  /// Tasks that wait at most; a power of two.
  std::size_t length;
  /// With fewer tasks in the queue, a worker reads more, unless another does: before it is empty, so that
  /// nobody waits meanwhile.
  std::size_t refill_below;
  /// Batches that a worker reads at once, for each of which it makes a task.
  std::size_t read_at_once;
  /// Tasks that a worker takes at once and runs one after the other: one that stalls holds up the others.
  std::size_t take_at_once;
};

/// Tasks in one queue that all workers share and fill. `T` is what the model schedules: one is made for each
/// batch of the stream, and run once.
template <class T, QueueTuning kTuning>
class StreamTasks {
 public:
  /// The stream must outlive this.
  StreamTasks(CpuStream const& stream, Setup const& setup) : reading_(stream, setup.batch, setup.workers) {}

  /// What each worker's thread does until every task was taken: `make(batch)` gives a task, `run(task)` runs
  /// it and must not throw. Returns how many tasks this worker made. What `make` throws is thrown on.
  template <class Make, class Run>
  std::uint64_t work(Make&& make, Run&& run) {
    std::uint64_t made = 0;
    for (;;) {
      if (queue_.size() < kTuning.refill_below) made += make_some(make, run);
      if (run_some(run)) continue;
      if (reading_.ended() && queue_.empty()) break;
      if (spin_until([&] { return has_work(); })) continue;
      std::uint32_t const seen = sleepers_.prepare();
      if (!has_work()) sleepers_.sleep(seen);
    }
    sleepers_.notify_all();
    return made;
  }

 private:
  bool has_work() const noexcept { return !queue_.empty() || reading_.ended() || !reading_.taken(); }

  template <class Run>
  bool run_some(Run& run) {
    std::array<T, kTuning.take_at_once> tasks;
    std::size_t const n = queue_.try_pop(tasks);
    for (std::size_t i = 0; i < n; ++i) run(tasks[i]);
    return n > 0;
  }

  template <class Make, class Run>
  std::uint64_t make_some(Make& make, Run& run) {
    std::array<Range, kTuning.read_at_once> batches;
    std::array<T, kTuning.take_at_once> tasks;
    std::size_t const read = reading_.try_take(batches);
    for (std::size_t i = 0; i < read;) {
      std::size_t n = 0;
      for (; n < tasks.size() && i < read; ++n, ++i) tasks[n] = make(batches[i]);
      std::size_t const pushed = queue_.try_push(std::span(tasks).first(n));
      // No room: whoever submits runs them.
      for (std::size_t k = pushed; k < n; ++k) run(tasks[k]);
      if (pushed > 0) sleepers_.notify_one();
    }
    return read;
  }

  ReadingRole reading_;
  EventCount sleepers_;
  BoundedQueue<T, kTuning.length> queue_;
};

}  // namespace tally
