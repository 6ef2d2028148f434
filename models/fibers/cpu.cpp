// fibers on `cpu`: Boost.Fiber, a scheduler per worker thread; a fiber that reads, and one per worker that
// counts.
#include <unistd.h>

#include <atomic>
#include <boost/fiber/condition_variable.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/batch_ring.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

namespace bf = boost::fibers;

/// The ring, with fibers parked on Boost.Fiber's own condition variables where it is full or empty: these
/// park a fiber, not its thread, and wake it from any thread. The marks keep the lock out of the way of
/// whoever finds nobody parked.
class FiberBatchChannel {
 public:
  explicit FiberBatchChannel(int workers) : ring_(workers) {}

  /// Parks while the ring is full. The reader's fiber only.
  void push(Range batch) {
    while (!ring_.try_push(batch)) park_reader();
    if (++pushes_ % kPushesPerWake == 0 && ring_.worth_waking()) wake_workers();
  }

  /// No more batches will come. The reader's fiber only.
  void close() {
    closed_.store(true, std::memory_order_seq_cst);
    wake_workers();
  }

  /// A run of batches; parks while there is none, and is empty only when the channel is closed and drained.
  Range pop_run() {
    for (;;) {
      bool const closed = closed_.load(std::memory_order_seq_cst);
      Range const run = ring_.try_pop_run();
      if (!run.empty()) {
        if (reader_parked_.load(std::memory_order_seq_cst) && ring_.half_empty()) wake_reader();
        return run;
      }
      if (closed) return {};
      park_worker();
    }
  }

 private:
  void park_reader() {
    wake_workers();
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] {
      // At each turn, since a waker that saw the mark of an earlier parking may clear this one's.
      reader_parked_.store(true, std::memory_order_seq_cst);
      return ring_.half_empty();
    });
    reader_parked_.store(false, std::memory_order_relaxed);
  }
  void wake_reader() {
    // The waker clears the mark: until the reader runs, later pops do not come here again.
    if (!reader_parked_.exchange(false, std::memory_order_seq_cst)) return;
    {
      std::scoped_lock const lock(mutex_);
    }  // the reader is in wait(), or sees the room before it goes there
    room_.notify_one();
  }
  void park_worker() {
    std::unique_lock lock(mutex_);
    work_.wait(lock, [&] {
      workers_parked_.store(true, std::memory_order_seq_cst);
      return !ring_.empty() || closed_.load(std::memory_order_seq_cst);
    });
  }
  void wake_workers() {
    std::atomic_thread_fence(
        std::memory_order_seq_cst);  // the pushes before the look: pairs with park_worker()
    if (!workers_parked_.load(std::memory_order_seq_cst)) return;
    {
      // The waker clears the mark: until workers run, and park again, later pushes do not come here. A mark
      // that a worker left on its way out costs one call for nothing.
      std::scoped_lock const lock(mutex_);
      workers_parked_.store(false, std::memory_order_relaxed);
    }
    work_.notify_all();
  }

  BatchRing ring_;
  std::uint64_t pushes_ = 0;
  alignas(64) std::atomic<bool> reader_parked_{false};
  std::atomic<bool> closed_{false};
  alignas(64) std::atomic<bool> workers_parked_{false};
  bf::mutex mutex_;
  bf::condition_variable room_, work_;
};

}  // namespace

Counts fibers_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  FiberBatchChannel channel(setup.workers);
  auto const read = [&] {
    BatchReader reader(stream, setup.batch);
    for (Range batch; !(batch = reader.next()).empty();) channel.push(batch);
    channel.close();
  };
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    auto const count = [&] {
      for (Range run; !(run = channel.pop_run()).empty();) {
        // A worker that has failed goes on taking batches, or the reader would wait for ever.
        self.failure().guard([&] { stream.count(run, tallies[static_cast<std::size_t>(w)]); });
        if (w == 0) boost::this_fiber::yield();  // the reader lives here too
      }
    };
    place_worker(setup, w);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    bf::fiber reader;
    if (w == 0) reader = bf::fiber(read);
    bf::fiber counter(count);
    counter.join();
    if (reader.joinable()) reader.join();
    self.finish();
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
