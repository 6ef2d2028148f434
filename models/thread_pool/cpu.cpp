// thread_pool on `cpu`: std::jthread workers over a bounded queue of tasks.
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/batch_ring.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// The pool's queue: the ring, with threads asleep where it is full or empty. Epochs are futex words (C++20
/// atomic waiting): a thread reads the epoch, looks at the ring, and sleeps only while the epoch is still the
/// same, so a change between look and sleep is never missed.
class BatchQueue {
 public:
  explicit BatchQueue(int workers) : ring_(workers) {}

  /// Waits while the ring is full. The reader only.
  void push(Range batch) {
    while (!ring_.try_push(batch)) wait_for_room();
    if (++pushes_ % kPushesPerWake == 0 && ring_.worth_waking()) wake_workers();
  }

  /// No more batches will come. The reader only.
  void close() {
    closed_.store(true, std::memory_order_release);
    wake_workers();
  }

  /// A run of batches; waits while there is none, and is empty only when the queue is closed and drained.
  Range pop_run() {
    for (;;) {
      std::uint32_t const epoch = pushed_.load(std::memory_order_acquire);
      bool const closed = closed_.load(std::memory_order_acquire);
      if (Range const run = ring_.try_pop_run(); !run.empty()) {
        if (reader_waits_.load(std::memory_order_seq_cst) && ring_.half_empty()) wake_reader();
        return run;
      }
      if (closed) return {};
      pushed_.wait(epoch, std::memory_order_acquire);
    }
  }

 private:
  void wake_workers() {
    pushed_.fetch_add(1, std::memory_order_acq_rel);
    pushed_.notify_all();  // no system call unless somebody sleeps
  }
  void wait_for_room() {
    wake_workers();
    std::uint32_t const epoch = popped_.load(std::memory_order_acquire);
    reader_waits_.store(true, std::memory_order_seq_cst);
    if (ring_.half_empty()) {
      reader_waits_.store(false, std::memory_order_relaxed);
      return;
    }
    popped_.wait(epoch, std::memory_order_acquire);
  }
  void wake_reader() {
    // The waker clears the registration: until the reader runs, later pops do not repeat the system call.
    if (!reader_waits_.exchange(false, std::memory_order_acq_rel)) return;
    popped_.fetch_add(1, std::memory_order_release);
    popped_.notify_one();
  }

  BatchRing ring_;
  std::uint64_t pushes_ = 0;
  alignas(64) std::atomic<std::uint32_t> pushed_{0};
  std::atomic<bool> closed_{false};
  alignas(64) std::atomic<std::uint32_t> popped_{0};
  std::atomic<bool> reader_waits_{false};
};

}  // namespace

Counts thread_pool_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  BatchQueue queue(setup.workers);
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    // A worker that has failed goes on taking batches, or the reader would wait for ever.
    for (Range run; !(run = queue.pop_run()).empty();) {
      self.failure().guard([&] { stream.count(run, tallies[static_cast<std::size_t>(w)]); });
    }
  });
  return time_workers(threads, watch, tallies, [&] {
    BatchReader reader(stream, setup.batch);
    for (Range batch; !(batch = reader.next()).empty();) queue.push(batch);
    queue.close();
  });
}

}  // namespace tally
