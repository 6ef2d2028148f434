// coroutines_asio on `cpu`: Boost.Asio's coroutines on an io_context per worker thread.
#include <unistd.h>

#include <atomic>
#include <boost/asio/defer.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "models/coroutines_asio/loop.hpp"
#include "models/model.hpp"
#include "models/runtime/batch_ring.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// One coroutine waits here until another, on any thread, wakes it: a channel of Asio's that holds one token.
class alignas(64) WakeUp {
 public:
  /// For a coroutine on `loop`, which must outlive this.
  explicit WakeUp(AsioLoop& loop) : token_(loop.context(), 1) {}

  /// Suspends until wake(), but not if `there()` holds. It may also return for an earlier wake() that came
  /// too late: look again. One coroutine at a time, on its loop's thread.
  template <class Condition>
  Awaitable wait(Condition there) {
    awaited_.store(true, std::memory_order_seq_cst);
    // Whoever brings what is waited for before this look is seen by it; whoever does after it sees the mark.
    if (!there()) co_await token_.async_receive(asio::deferred);
    awaited_.store(false, std::memory_order_relaxed);
  }
  /// Whether a coroutine waits, and has not been woken.
  bool awaited() const noexcept { return awaited_.load(std::memory_order_seq_cst); }
  /// Any thread. What the waiter waits for must be there.
  void wake() {
    // The waker clears the mark: until the waiter has run and waits again, nobody sends another token.
    if (awaited() && awaited_.exchange(false, std::memory_order_seq_cst))
      token_.try_send(boost::system::error_code());
  }

 private:
  std::atomic<bool> awaited_{false};
  asio::experimental::basic_concurrent_channel<AsioExecutor, asio::experimental::channel_traits<>,
                                               void(boost::system::error_code)>
      token_;
};

/// The bounded ring from the reader's coroutine to the workers', with Asio to wait where it is full or empty.
/// Batches themselves go around Asio: through its channel each would cost a lock, an allocation and a turn of
/// the loop.
class AsioBatchChannel {
 public:
  /// The reader is on the first of `loops`, and a worker on each. They must outlive this.
  explicit AsioBatchChannel(std::deque<AsioLoop>& loops)
      : ring_(static_cast<int>(loops.size())), room_(loops.front()) {
    for (AsioLoop& loop : loops) work_.emplace_back(loop);
  }

  /// False if the ring is full. The reader only.
  bool try_send(Range batch) {
    if (!ring_.try_push(batch)) return false;
    if (++sends_ % kPushesPerWake == 0 && ring_.worth_waking()) wake_workers();
    return true;
  }
  /// Suspends the reader until there is room, or the channel is closed.
  Awaitable room() {
    wake_workers();
    return room_.wait([this] { return ring_.half_empty() || closed(); });
  }

  /// A run of batches; empty if there is none.
  Range try_receive() {
    Range const run = ring_.try_pop_run();
    if (!run.empty() && room_.awaited() && ring_.half_empty()) room_.wake();
    return run;
  }
  /// Suspends worker `worker` until there may be a batch, or the channel is closed.
  Awaitable work(int worker) {
    return work_[static_cast<std::size_t>(worker)].wait([this] { return !ring_.empty() || closed(); });
  }

  /// No more batches will come, or be taken by whoever closes it: all who wait go on. Any thread, any number
  /// of times.
  void close() {
    closed_.store(true, std::memory_order_seq_cst);
    wake_workers();
    room_.wake();
  }
  bool closed() const noexcept { return closed_.load(std::memory_order_seq_cst); }
  /// Whether the reader would go on if its thread let it.
  bool reader_ready() const noexcept { return !room_.awaited() && !closed(); }

 private:
  void wake_workers() {
    // The pushes before the look: pairs with WakeUp::wait().
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (WakeUp& worker : work_) worker.wake();
  }

  BatchRing ring_;
  std::uint64_t sends_ = 0;
  alignas(64) std::atomic<bool> closed_{false};
  WakeUp room_;
  std::deque<WakeUp> work_;
};

Awaitable read_asio_stream(CpuStream const& stream, std::uint64_t batch_size, AsioBatchChannel& channel) {
  BatchReader reader(stream, batch_size);
  for (Range batch; !(batch = reader.next()).empty();) {
    while (!channel.try_send(batch)) {
      if (channel.closed()) co_return;  // nobody would make room
      co_await channel.room();
    }
  }
  channel.close();
}

Awaitable count_asio_batches(CpuStream const& stream, AsioBatchChannel& channel, int worker,
                             FirstFailure& failure, Counts& tally) {
  for (;;) {
    bool const closed = channel.closed();  // before the look at the ring, which is then the last
    Range const run = channel.try_receive();
    if (!run.empty()) {
      // A worker that has failed goes on taking batches, or the reader would wait for ever.
      failure.guard([&] { stream.count(run, tally); });
      // The reader shares the first worker's thread.
      if (worker == 0 && channel.reader_ready()) co_await asio::defer(asio::deferred);
    } else if (closed) {
      co_return;
    } else {
      co_await channel.work(worker);
    }
  }
}

}  // namespace

Counts coroutines_asio_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  std::deque<AsioLoop> loops;
  for (int w = 0; w < setup.workers; ++w) loops.emplace_back(AsioLoop::Used::by_other_threads);
  AsioBatchChannel channel(loops);
  WorkerThreads threads(setup.workers, [&](int worker, WorkerThreads::Self& self) {
    auto const w = static_cast<std::size_t>(worker);
    place_worker(setup, worker);
    // The reader first: a worker that finds nothing suspends.
    if (worker == 0) loops[w].spawn(read_asio_stream(stream, setup.batch, channel));
    loops[w].spawn(count_asio_batches(stream, channel, worker, self.failure(), tallies[w]));
    watch.worker_ready();
    if (!self.stand_ready()) return;
    try {
      loops[w].run();
    } catch (...) {
      channel.close();  // or the others would wait for this one
      throw;
    }
    self.finish();
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
