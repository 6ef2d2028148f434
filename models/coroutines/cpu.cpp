// coroutines on `cpu`: a C++20 coroutine for each batch, created suspended by the worker that reads, and
// first resumed on that one or on another that steals it.
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "models/coroutines/frames.hpp"
#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/work_stealing.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// What the coroutines on a worker's thread use.
struct CoroutineWorker {
  Counts& tally;
  FirstFailure& failure;
  static inline thread_local CoroutineWorker* current = nullptr;
};

/// A coroutine that nobody waits for: it frees itself at its end, on the worker where that is.
struct CountTask {
  struct promise_type : Frames::Promise {
    CountTask get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept {
      CoroutineWorker::current->failure.set(std::current_exception());
    }
  };
  std::coroutine_handle<> handle;
};

CountTask count_batch(CpuStream const& stream, Range batch) {
  // Once another has failed, counts are of no use.
  if (!CoroutineWorker::current->failure.failed()) stream.count(batch, CoroutineWorker::current->tally);
  co_return;
}

/// For --batch auto: one for each worker, which takes what is to be counted itself.
CountTask count_batches(CpuStream const& stream, ReadingRole& reading) {
  for (Range batch; !CoroutineWorker::current->failure.failed() && !(batch = reading.take()).empty();)
    stream.count(batch, CoroutineWorker::current->tally);
  co_return;
}

/// So few that their frames stay in the first-level cache.
constexpr StealingTuning kTuning{.read_at_once = 64, .take_at_once = 16};

}  // namespace

Counts coroutines_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  Frames frames;
  auto const tasks = std::make_unique<StealingTasks<std::coroutine_handle<>, kTuning>>(stream, setup);
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    CoroutineWorker worker{tallies[static_cast<std::size_t>(w)], self.failure()};
    Frames::Cache cache(frames.depot());
    CoroutineWorker::current = &worker;
    Frames::cache = &cache;
    place_worker(setup, w);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    if (setup.batch == kAutoBatch) {
      watch.add_scheduled(1);
      count_batches(stream, tasks->reading()).handle.resume();
    } else {
      watch.add_scheduled(tasks->work(
          w, [&](Range batch) { return count_batch(stream, batch).handle; },
          [](std::coroutine_handle<> task) { task.resume(); }));
    }
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
