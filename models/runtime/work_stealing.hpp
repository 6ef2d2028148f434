// Work stealing: a queue of tasks for each worker, from which the others take when their own are empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "models/model.hpp"
#include "models/runtime/bounded_queue.hpp"
#include "models/runtime/event_count.hpp"
#include "models/runtime/reading_role.hpp"
#include "models/runtime/spin.hpp"

namespace tally {

/// What a model whose workers steal is tuned by.
struct StealingTuning {
  /// Batches that a worker reads at once, for each of which it makes a task.
  std::size_t read_at_once;
  /// Tasks that a worker takes from a queue at once, its own or another's, and runs one after the other: one
  /// that stalls holds up the others. All else in its queue can be stolen.
  std::size_t take_at_once;
};

/// A bounded queue of tasks for each worker. First in, first out, since the oldest task is both what has
/// waited longest and, read in order, what is nearest in memory to the one before.
template <class T, std::size_t kLength>
class WorkerQueues {
 public:
  explicit WorkerQueues(int workers)
      : workers_(static_cast<std::size_t>(workers)), queues_(std::make_unique<Queue[]>(workers_)) {}

  /// Adds to the worker's own queue; false, with `task` untouched, if that is full.
  bool try_push(std::size_t worker, T& task) noexcept { return queues_[worker].try_push(task); }
  /// Moves the oldest tasks of the worker's own queue to the front of `out`, and returns how many.
  std::size_t try_take(std::size_t worker, std::span<T> out) noexcept { return queues_[worker].try_pop(out); }
  /// The same of the first of the other workers, from the next one on, that has any.
  std::size_t try_steal(std::size_t worker, std::span<T> out) noexcept {
    for (std::size_t i = 1; i < workers_; ++i)
      if (std::size_t const n = queues_[(worker + i) % workers_].try_pop(out)) return n;
    return 0;
  }
  /// Whether no worker has any.
  bool empty() const noexcept {
    for (std::size_t w = 0; w < workers_; ++w)
      if (!queues_[w].empty()) return false;
    return true;
  }

 private:
  using Queue = BoundedQueue<T, kLength>;
  std::size_t workers_;
  std::unique_ptr<Queue[]> queues_;
};

/// Tasks made of a stream's batches by workers that steal: one whose queue is empty reads some batches and
/// makes tasks of them, or while another reads, and at the end, takes from the others' queues. So most tasks
/// run on the worker that made them, and what one costs is not that of taking it to another CPU. (Blumofe &
/// Leiserson, "Scheduling Multithreaded Computations by Work Stealing", J. ACM 46, 1999, whose owners take
/// the newest.)
template <class T, StealingTuning kTuning>
class StealingTasks {
 public:
  /// The stream must outlive this.
  StealingTasks(CpuStream const& stream, Setup const& setup)
      : reading_(stream, setup.batch, setup.workers), queues_(setup.workers) {}

  /// For a worker that takes batches and makes no task of each.
  ReadingRole& reading() noexcept { return reading_; }

  /// What the thread of `worker`, from 0, does until every task was taken: `make(batch)` gives a task,
  /// `run(task)` runs it and must not throw. Returns how many tasks this worker made. What `make` throws is
  /// thrown on.
  template <class Make, class Run>
  std::uint64_t work(int worker, Make&& make, Run&& run) {
    auto const own = static_cast<std::size_t>(worker);
    std::uint64_t made = 0;
    std::array<T, kTuning.take_at_once> tasks;
    auto const run_all = [&](std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) run(tasks[i]);
      return n > 0;
    };
    for (;;) {
      if (run_all(queues_.try_take(own, tasks))) continue;
      if (std::uint64_t const more = make_some(own, make, run)) {
        made += more;
        continue;
      }
      if (run_all(queues_.try_steal(own, tasks))) continue;
      if (reading_.ended() && queues_.empty()) break;
      if (spin_until([&] { return has_work(); })) continue;
      std::uint32_t const seen = sleepers_.prepare();
      if (!has_work()) sleepers_.sleep(seen);
    }
    sleepers_.notify_all();
    return made;
  }

 private:
  bool has_work() const noexcept { return !queues_.empty() || reading_.ended() || !reading_.taken(); }

  template <class Make, class Run>
  std::uint64_t make_some(std::size_t own, Make& make, Run& run) {
    std::array<Range, kTuning.read_at_once> batches;
    std::size_t const n = reading_.try_take(batches);
    for (std::size_t i = 0; i < n; ++i) {
      T task = make(batches[i]);
      // There is room, but where a thief was put off its CPU while it took the oldest.
      if (!queues_.try_push(own, task)) run(task);
    }
    if (n > 0) sleepers_.notify_one();
    return n;
  }

  ReadingRole reading_;
  EventCount sleepers_;
  WorkerQueues<T, 2 * kTuning.read_at_once> queues_;
};

}  // namespace tally
