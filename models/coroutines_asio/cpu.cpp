// coroutines_asio on `cpu`: Boost.Asio's coroutines on an io_context per worker thread, one spawned for each
// batch.
#include <atomic>
#include <boost/asio/defer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <vector>

#include "models/coroutines_asio/loop.hpp"
#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// A worker's loop, which goes on until the reader has ended, and coroutines that wait on it.
struct AsioWorker {
  AsioWorker(CpuStream const& s, Counts& t) : stream(s), tally(t), more(loop.context().get_executor()) {}
  CpuStream const& stream;
  Counts& tally;
  FirstFailure* failure = nullptr;
  AsioLoop loop{AsioLoop::Used::by_other_threads};
  asio::executor_work_guard<AsioExecutor> more;
  alignas(64) std::atomic<std::size_t> waiting{0};
};

Awaitable count_batch(AsioWorker& worker, Range batch) {
  // What it throws is kept: the loop goes on.
  worker.failure->guard([&] { worker.stream.count(batch, worker.tally); });
  co_return;
}

/// Spawns a coroutine for each batch, on one loop after the other, but on none where too many wait.
class AsioReader {
 public:
  AsioReader(CpuStream const& stream, Setup const& setup, std::deque<AsioWorker>& workers)
      : reader_(stream, setup.batch, setup.workers), workers_(workers) {}

  /// On the first loop.
  Awaitable read() {
    for (Range batch; !(batch = reader_.next()).empty(); ++spawned_) {
      // The first loop's own coroutines make room, or by then others do.
      while (!spawn(batch)) co_await asio::defer(asio::deferred);
    }
    for (AsioWorker& worker : workers_) worker.more.reset();
  }
  std::uint64_t spawned() const noexcept { return spawned_; }

 private:
  /// Coroutines that wait on a loop at most. Nobody else takes them: at the end of a stream, and while one
  /// stalls the loop, they wait.
  static constexpr std::size_t kWaiting = 128;

  bool spawn(Range batch) {
    for (std::size_t tries = workers_.size(); tries > 0; --tries) {
      AsioWorker& worker = workers_[turn_];
      if (++turn_ == workers_.size()) turn_ = 0;
      if (worker.waiting.load(std::memory_order_relaxed) >= kWaiting) continue;
      worker.waiting.fetch_add(1, std::memory_order_relaxed);
      // Where it is spawned on its own loop, a coroutine runs at once; what is left of it waits all the same.
      asio::co_spawn(worker.loop.context(), count_batch(worker, batch), [&worker](std::exception_ptr) {
        worker.waiting.fetch_sub(1, std::memory_order_relaxed);
      });
      return true;
    }
    return false;
  }

  BatchReader reader_;
  std::deque<AsioWorker>& workers_;
  std::size_t turn_ = 0;
  std::uint64_t spawned_ = 0;
};

}  // namespace

Counts coroutines_asio_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  std::deque<AsioWorker> workers;
  for (Counts& tally : tallies) workers.emplace_back(stream, tally);
  AsioReader reader(stream, setup, workers);
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    AsioWorker& worker = workers[static_cast<std::size_t>(w)];
    worker.failure = &self.failure();
    place_worker(setup, w);
    if (w == 0) worker.loop.spawn(reader.read());
    watch.worker_ready();
    if (!self.stand_ready()) return;
    try {
      worker.loop.run();
    } catch (...) {
      for (AsioWorker& each : workers) each.more.reset();  // or the others would wait for this one
      throw;
    }
    self.finish();
  });
  Counts counts = time_workers(threads, watch, tallies);
  watch.add_scheduled(reader.spawned());
  return counts;
}

}  // namespace tally
