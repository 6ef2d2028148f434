// thread_pool on `cpu`: std::jthread workers over a bounded queue of closures, one for each batch.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/stream_tasks.hpp"
#include "models/runtime/worker_threads.hpp"
#include "models/thread_pool/closure.hpp"

namespace tally {
namespace {

/// What a pool's thread has for the tasks that it runs: its tally.
using PoolTask = Closure<Counts>;

/// A closure and its slot's turn are 40 bytes: 40 KiB of them stay in a core's cache.
constexpr QueueTuning kTuning{.length = 1024, .refill_below = 32, .read_at_once = 16, .take_at_once = 16};

}  // namespace

Counts thread_pool_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  auto const tasks = std::make_unique<StreamTasks<PoolTask, kTuning>>(stream, setup);
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    Counts& own = tallies[static_cast<std::size_t>(w)];
    place_worker(setup, w);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    std::uint64_t const made = tasks->work(
        [&stream](Range batch) {
          return PoolTask([&stream, batch](Counts& tally) { stream.count(batch, tally); });
        },
        // What a task throws is kept, and those after it are taken all the same.
        [&](PoolTask& task) { self.failure().guard([&] { task(own); }); });
    watch.add_scheduled(made);
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
