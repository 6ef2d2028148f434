// coroutines on `cpu`: C++20 coroutines on an event loop per worker thread.
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "models/coroutines/loop.hpp"
#include "models/model.hpp"
#include "models/runtime/batch_ring.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// A bounded channel from the reader's coroutine to the workers': `co_await send(batch)`, `co_await
/// receive(loop)`. Coroutines that must wait are parked in it, and posted to their own loop when what they
/// wait for is there.
class Channel {
 public:
  /// The reader lives on `reader_loop`.
  Channel(int workers, CoroutineLoop& reader_loop) : ring_(workers), reader_loop_(reader_loop) {}

  /// Whether the batch was sent. A reader that was parked is woken once there is room, but a waker that comes
  /// late from an earlier parking may wake it before: then it is to try again.
  auto send(Range batch) {
    struct Awaiter {
      Channel& channel;
      Range batch;
      bool sent = false;
      bool await_ready() { return sent = channel.try_send(batch); }
      bool await_suspend(std::coroutine_handle<> reader) { return channel.park_reader(reader); }
      bool await_resume() { return sent || channel.try_send(batch); }
    };
    return Awaiter{*this, batch};
  }

  /// A run of batches; empty when the channel is closed and drained, and when another worker took what this
  /// one was woken for: drained() tells.
  auto receive(CoroutineLoop& loop) {
    struct Awaiter {
      Channel& channel;
      CoroutineLoop& loop;
      Range run{};
      // Lets the reader go first where it shares this loop and wants to run: a channel is fair to both ends.
      bool await_ready() { return !loop.others_ready() && channel.try_receive(run); }
      bool await_suspend(std::coroutine_handle<> worker) {
        if (loop.others_ready()) {
          loop.schedule(worker);
          return true;
        }
        return channel.park_worker(worker, loop);
      }
      Range await_resume() {
        if (run.empty()) channel.try_receive(run);
        return run;
      }
    };
    return Awaiter{*this, loop};
  }

  /// No more batches will come. The reader only.
  void close() {
    closed_.store(true, std::memory_order_seq_cst);
    wake_workers();
  }
  bool drained() const { return closed_.load(std::memory_order_seq_cst) && ring_.empty(); }

 private:
  bool try_send(Range batch) {
    if (!ring_.try_push(batch)) return false;
    if (++sends_ % kPushesPerWake == 0 && ring_.worth_waking()) wake_workers();
    return true;
  }

  bool try_receive(Range& run) {
    run = ring_.try_pop_run();
    if (run.empty()) return false;
    if (reader_parked_.load(std::memory_order_seq_cst) && ring_.half_empty()) wake_reader();
    return true;
  }

  bool park_reader(std::coroutine_handle<> reader) {
    wake_workers();
    reader_ = reader;
    reader_parked_.store(true, std::memory_order_seq_cst);
    // Room may have come between the failed send and the parking; whoever clears the mark resumes the reader.
    return !(ring_.half_empty() && reader_parked_.exchange(false, std::memory_order_seq_cst));
  }

  void wake_reader() {
    if (reader_parked_.exchange(false, std::memory_order_seq_cst)) reader_loop_.post(reader_);
  }

  bool park_worker(std::coroutine_handle<> worker, CoroutineLoop& loop) {
    std::scoped_lock const lock(mutex_);
    parked_count_.store(parked_.size() + 1, std::memory_order_seq_cst);
    if (!ring_.empty() || closed_.load(std::memory_order_seq_cst)) {
      parked_count_.store(parked_.size(), std::memory_order_relaxed);
      return false;
    }
    parked_.push_back({worker, &loop});
    return true;
  }

  void wake_workers() {
    std::atomic_thread_fence(
        std::memory_order_seq_cst);  // the pushes before the look: pairs with park_worker()
    if (parked_count_.load(std::memory_order_seq_cst) == 0) return;
    std::scoped_lock const lock(mutex_);
    for (Parked const& parked : parked_) parked.loop->post(parked.worker);
    parked_.clear();
    parked_count_.store(0, std::memory_order_relaxed);
  }

  struct Parked {
    std::coroutine_handle<> worker;
    CoroutineLoop* loop;
  };
  BatchRing ring_;
  CoroutineLoop& reader_loop_;
  std::uint64_t sends_ = 0;
  std::coroutine_handle<> reader_;
  alignas(64) std::atomic<bool> reader_parked_{false};
  std::atomic<bool> closed_{false};
  alignas(64) std::atomic<std::size_t> parked_count_{0};
  std::mutex mutex_;
  std::vector<Parked> parked_;
};

Task read_stream(CpuStream const& stream, std::uint64_t batch_size, Channel& channel) {
  BatchReader reader(stream, batch_size);
  for (Range batch; !(batch = reader.next()).empty();) {
    while (!co_await channel.send(batch)) {
    }
  }
  channel.close();
}

Task count_batches(CpuStream const& stream, Channel& channel, CoroutineLoop& loop, FirstFailure& failure,
                   Counts& tally) {
  for (;;) {
    Range const run = co_await channel.receive(loop);
    if (!run.empty()) {
      failure.guard([&] { stream.count(run, tally); });
    } else if (channel.drained()) {
      co_return;
    }
  }
}

}  // namespace

Counts coroutines_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  std::vector<CoroutineLoop> loops(static_cast<std::size_t>(setup.workers));
  Channel channel(setup.workers, loops[0]);
  WorkerThreads threads(setup.workers, [&](int worker, WorkerThreads::Self& self) {
    auto const w = static_cast<std::size_t>(worker);
    place_worker(setup, worker);
    std::vector<Task> tasks;
    tasks.push_back(count_batches(stream, channel, loops[w], self.failure(), tallies[w]));
    if (w == 0) tasks.push_back(read_stream(stream, setup.batch, channel));
    // The reader first: a worker that finds nothing parks.
    for (std::size_t t = tasks.size(); t-- > 0;) loops[w].schedule(tasks[t].handle());
    watch.worker_ready();
    if (!self.stand_ready()) return;
    loops[w].run_until_done(tasks);
    self.finish();
    for (Task const& task : tasks) task.rethrow();
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
