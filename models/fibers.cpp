// fibers: Boost.Fiber, a scheduler per worker thread; fibers as tasks, and one fiber per event in flight.
#include <boost/fiber/algo/algorithm.hpp>
#include <boost/fiber/condition_variable.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/protected_fixedsize_stack.hpp>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "models/batch_ring.hpp"
#include "models/connection.hpp"
#include "models/event_cursor.hpp"
#include "models/failure.hpp"
#include "models/model.hpp"
#include "models/placement.hpp"
#include "models/reactor.hpp"

namespace tally {
namespace {

namespace bf = boost::fibers;

/// The ring, with fibers parked on Boost.Fiber's own condition variables where it is full or empty: these
/// park a fiber, not its thread, and wake it from any thread. The marks keep the lock out of the way of
/// whoever finds nobody parked.
class BatchChannel {
 public:
  explicit BatchChannel(int workers) : ring_(workers) {}

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
    reader_parked_.store(true, std::memory_order_seq_cst);
    room_.wait(lock, [&] { return ring_.half_empty(); });
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
    workers_parked_.fetch_add(1, std::memory_order_seq_cst);
    work_.wait(lock, [&] { return !ring_.empty() || closed_.load(std::memory_order_seq_cst); });
    workers_parked_.fetch_sub(1, std::memory_order_relaxed);
  }
  void wake_workers() {
    std::atomic_thread_fence(
        std::memory_order_seq_cst);  // the pushes before the look: pairs with park_worker()
    if (workers_parked_.load(std::memory_order_seq_cst) == 0) return;
    { std::scoped_lock const lock(mutex_); }
    work_.notify_all();
  }

  BatchRing ring_;
  std::uint64_t pushes_ = 0;
  alignas(64) std::atomic<bool> reader_parked_{false};
  std::atomic<bool> closed_{false};
  alignas(64) std::atomic<int> workers_parked_{0};
  bf::mutex mutex_;
  bf::condition_variable room_, work_;
};

}  // namespace

Counts fibers_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  auto const workers = static_cast<std::size_t>(setup.workers);
  std::vector<Counts> tallies;
  for (std::size_t w = 0; w < workers; ++w) tallies.push_back(stream.empty_tally());
  BatchChannel channel(setup.workers);
  FirstFailure failure;
  std::latch ready(setup.workers + 1), go(1), done(setup.workers);

  auto const read = [&] {
    BatchReader reader(stream, setup.batch);
    for (Range batch; !(batch = reader.next()).empty();) channel.push(batch);
    channel.close();
  };
  auto const count = [&](std::size_t w) {
    for (Range run; !(run = channel.pop_run()).empty();) {
      failure.guard([&] { stream.count(run, tallies[w]); });
      if (w == 0) boost::this_fiber::yield();  // the reader lives here too
    }
  };
  std::vector<std::jthread> threads;
  for (std::size_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      failure.guard([&] {
        place_worker(setup, static_cast<int>(w));
        watch.worker_ready();
      });
      ready.count_down();
      go.wait();
      bf::fiber reader;
      if (w == 0) reader = bf::fiber(read);
      bf::fiber counter(count, w);
      counter.join();
      if (reader.joinable()) reader.join();
      done.count_down();
    });
  }
  ready.arrive_and_wait();
  watch.start();
  go.count_down();
  done.wait();
  for (std::size_t w = 1; w < workers; ++w) tallies[0].merge(std::move(tallies[w]));
  watch.stop();
  failure.rethrow();
  return std::move(tallies[0]);
}

namespace {

/// A round-robin scheduler whose thread, when no fiber is ready, waits in the reactor. (Upstream's example
/// for Asio polls with a timer instead, and spins.)
class ReactorScheduler final : public bf::algo::algorithm {
 public:
  /// Shares the reactor: a thread's scheduler outlives what its function holds.
  explicit ReactorScheduler(std::shared_ptr<Reactor> reactor) : reactor_(std::move(reactor)) {}
  void awakened(bf::context* fiber) noexcept override { fiber->ready_link(ready_); }
  bf::context* pick_next() noexcept override {
    if (ready_.empty()) return nullptr;
    bf::context* const next = &ready_.front();
    ready_.pop_front();
    return next;
  }
  bool has_ready_fibers() const noexcept override { return !ready_.empty(); }
  void suspend_until(std::chrono::steady_clock::time_point const& until) noexcept override {
    if (until == std::chrono::steady_clock::time_point::max()) {
      reactor_->run_once(std::nullopt);
    } else {
      reactor_->run_once(until - std::chrono::steady_clock::now());
    }
  }
  void notify() noexcept override { reactor_->interrupt(); }

 private:
  std::shared_ptr<Reactor> reactor_;
  bf::scheduler::ready_queue_type ready_;
};

/// A connection whose fiber is parked while there is nothing to receive.
struct Parked : ReadyHandler {
  explicit Parked(Connection&& c) : ReadyHandler{wake}, connection(std::move(c)) {}
  Connection connection;
  bf::context* fiber = nullptr;

  void wait_readable() {
    fiber = bf::context::active();
    fiber->suspend();
  }
  static void wake(ReadyHandler& self) { bf::context::active()->schedule(static_cast<Parked&>(self).fiber); }
};

/// Stacks with a guard page each. One page does not hold a fiber's control block and a system call's frames;
/// of more, only what is touched is resident.
constexpr std::size_t kStackBytes = 32 * 1024;

/// Looks up events until there are no more: one fiber per event in flight, each with its connection.
void look_up_events(LookupStream const& stream, EventCursor& cursor, FirstFailure& failure, Parked& parked,
                    ReceiveBuffer& buffer, Counts& tally) {
  boost::this_fiber::yield();  // stands ready: its stack exists and has been run on
  bool const ok = failure.guard([&] {
    while (auto const event = cursor.take()) {
      parked.connection.send(stream, *event);
      std::span<char const> reply;
      do {
        parked.wait_readable();
        reply = parked.connection.receive(stream, buffer);
      } while (reply.empty());
      stream.accept(*event, reply, tally);
    }
  });
  if (!ok) cursor.stop();
}

}  // namespace

Counts fibers_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  auto const workers = static_cast<std::size_t>(setup.workers);
  std::vector<Counts> tallies;
  for (std::size_t w = 0; w < workers; ++w) tallies.push_back(stream.empty_tally());
  EventCursor cursor(stream.events());
  FirstFailure failure;
  std::latch ready(setup.workers + 1), go(1), done(setup.workers);

  std::vector<std::jthread> threads;
  for (std::size_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      auto const reactor = std::make_shared<Reactor>();
      ReceiveBuffer buffer;
      std::vector<Parked> connections;
      std::vector<bf::fiber> fibers;
      failure.guard([&] {
        place_worker(setup, static_cast<int>(w));
        bf::use_scheduling_algorithm<ReactorScheduler>(reactor);
        auto const share =
            static_cast<std::size_t>(share_of_in_flight(setup.in_flight, setup.workers, static_cast<int>(w)));
        connections.reserve(share);
        fibers.reserve(share);
        for (std::size_t c = 0; c < share; ++c) {
          Parked& parked = connections.emplace_back(connect_non_blocking(stream.service()));
          reactor->add(parked.connection.fd(), parked);
          fibers.emplace_back(std::allocator_arg, bf::protected_fixedsize_stack(kStackBytes),
                              [&] { look_up_events(stream, cursor, failure, parked, buffer, tallies[w]); });
        }
        boost::this_fiber::yield();
        watch.worker_ready();
      });
      ready.count_down();
      go.wait();
      for (bf::fiber& fiber : fibers) fiber.join();
      done.count_down();
    });
  }
  ready.arrive_and_wait();
  watch.start();
  go.count_down();
  done.wait();
  for (std::size_t w = 1; w < workers; ++w) tallies[0].merge(std::move(tallies[w]));
  watch.stop();
  failure.rethrow();
  return std::move(tallies[0]);
}

}  // namespace tally
