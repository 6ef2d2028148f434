// Tasks made of a stream's batches, in a queue that all workers share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

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
  /// Tasks that a worker takes at once and runs one after the other: one that stalls holds up the others.
  std::size_t at_once;
  /// Tasks added between two looks for a worker that sleeps.
  std::size_t per_wake;
};

/// A worker that finds the queue empty reads the stream and fills the queue, unless another does; all others
/// take tasks from it. `T` is what the model schedules: one is made for each batch, and run once.
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
      if (run_some(run)) continue;
      if (std::uint64_t const more = make_some(make)) {
        made += more;
        continue;
      }
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
    std::array<T, kTuning.at_once> tasks;
    std::size_t const n = queue_.try_pop(tasks);
    for (std::size_t i = 0; i < n; ++i) run(tasks[i]);
    return n > 0;
  }

  template <class Make>
  std::uint64_t make_some(Make& make) {
    std::uint64_t made = 0;
    reading_.read([&](Range batch) {
      if (!queue_.has_room()) return false;
      T task = make(batch);
      queue_.try_push(task);  // there is room: others only take
      if (++made % kTuning.per_wake == 0) sleepers_.notify_one();
      return true;
    });
    if (made > 0) sleepers_.notify_one();
    return made;
  }

  ReadingRole reading_;
  EventCount sleepers_;
  BoundedQueue<T, kTuning.length> queue_;
};

}  // namespace tally
