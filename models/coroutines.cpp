// coroutines: C++20 coroutines on an event loop per worker thread; one coroutine per event in flight.
#include <latch>
#include <memory>
#include <optional>
#include <thread>

#include "models/batch_ring.hpp"
#include "models/connection.hpp"
#include "models/coroutine_loop.hpp"
#include "models/event_cursor.hpp"
#include "models/failure.hpp"
#include "models/model.hpp"
#include "models/placement.hpp"
#include "models/reactor.hpp"

namespace tally {
namespace {

/// A bounded channel from the reader's coroutine to the workers': `co_await send(batch)`, `co_await
/// receive(loop)`. Coroutines that must wait are parked in it, and posted to their own loop when what they
/// wait for is there.
class Channel {
 public:
  /// The reader lives on `reader_loop`.
  Channel(int workers, CoroutineLoop& reader_loop) : ring_(workers), reader_loop_(reader_loop) {}

  auto send(Range batch) {
    struct Awaiter {
      Channel& channel;
      Range batch;
      bool await_ready() { return channel.try_send(batch); }
      bool await_suspend(std::coroutine_handle<> reader) { return channel.park_reader(reader); }
      // The channel has room when the reader is resumed: nobody else sends.
      void await_resume() {
        if (!sent()) channel.try_send(batch);
      }
      bool sent() const { return channel.sent_ == batch.end; }
    };
    return Awaiter{*this, batch};
  }

  /// A run of batches; empty when the channel is closed and drained.
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
    sent_ = batch.end;
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
  std::uint64_t sent_ = 0;
  std::coroutine_handle<> reader_;
  alignas(64) std::atomic<bool> reader_parked_{false};
  std::atomic<bool> closed_{false};
  alignas(64) std::atomic<std::size_t> parked_count_{0};
  std::mutex mutex_;
  std::vector<Parked> parked_;
};

Task read_stream(CpuStream const& stream, std::uint64_t batch_size, Channel& channel) {
  BatchReader reader(stream, batch_size);
  for (Range batch; !(batch = reader.next()).empty();) co_await channel.send(batch);
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
  auto const workers = static_cast<std::size_t>(setup.workers);
  std::vector<Counts> tallies;
  for (std::size_t w = 0; w < workers; ++w) tallies.push_back(stream.empty_tally());
  std::vector<CoroutineLoop> loops(workers);
  Channel channel(setup.workers, loops[0]);
  FirstFailure failure;
  std::latch ready(setup.workers + 1), go(1), done(setup.workers);

  std::vector<std::jthread> threads;
  for (std::size_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      std::vector<Task> tasks;
      failure.guard([&] {
        place_worker(setup, static_cast<int>(w));
        watch.worker_ready();
      });
      tasks.push_back(count_batches(stream, channel, loops[w], failure, tallies[w]));
      if (w == 0) tasks.push_back(read_stream(stream, setup.batch, channel));
      // The reader first: a worker that finds nothing parks.
      for (std::size_t t = tasks.size(); t-- > 0;) loops[w].schedule(tasks[t].handle());
      ready.count_down();
      go.wait();
      loops[w].run_until_done(tasks);
      for (Task const& task : tasks) failure.guard([&] { task.rethrow(); });
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

/// A connection on which a coroutine waits: `co_await readable` suspends it until there is something to
/// receive.
struct Waitable : ReadyHandler {
  explicit Waitable(Connection&& c) : ReadyHandler{resume}, connection(std::move(c)) {}
  Connection connection;
  std::coroutine_handle<> waiting{};

  static void resume(ReadyHandler& self) { static_cast<Waitable&>(self).waiting.resume(); }
  auto readable() {
    struct Awaiter {
      Waitable& waitable;
      // Waits first: a reply is never there yet when its request has just been sent.
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> coroutine) const noexcept { waitable.waiting = coroutine; }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
};

/// One worker's connections and coroutines.
class LookupLoop {
 public:
  LookupLoop(LookupStream const& stream, EventCursor& cursor, Counts& tally, int connections)
      : stream_(stream), cursor_(cursor), tally_(tally) {
    waitables_.reserve(static_cast<std::size_t>(connections));
    tasks_.reserve(static_cast<std::size_t>(connections));
    for (int c = 0; c < connections; ++c) {
      Waitable& waitable = waitables_.emplace_back(connect_non_blocking(stream.service()));
      reactor_.add(waitable.connection.fd(), waitable);
      tasks_.push_back(look_up_events(waitable));
    }
  }

  void run() {
    running_ = tasks_.size();
    for (Task const& task : tasks_) task.handle().resume();
    while (running_ > 0) reactor_.run_once(std::nullopt);
    for (Task const& task : tasks_) task.rethrow();
  }

 private:
  Task look_up_events(Waitable& waitable) {
    struct Leave {
      LookupLoop& loop;
      ~Leave() { --loop.running_; }
    } const leave{*this};
    while (auto const event = cursor_.take()) {
      waitable.connection.send(stream_, *event);
      std::span<char const> reply;
      do {
        co_await waitable.readable();
        reply = waitable.connection.receive(stream_, buffer_);
      } while (reply.empty());
      stream_.accept(*event, reply, tally_);
    }
  }

  LookupStream const& stream_;
  EventCursor& cursor_;
  Counts& tally_;
  Reactor reactor_;
  ReceiveBuffer buffer_;
  std::vector<Waitable> waitables_;
  std::vector<Task> tasks_;
  std::size_t running_ = 0;
};

}  // namespace

Counts coroutines_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  auto const workers = static_cast<std::size_t>(setup.workers);
  std::vector<Counts> tallies;
  for (std::size_t w = 0; w < workers; ++w) tallies.push_back(stream.empty_tally());
  EventCursor cursor(stream.events());
  FirstFailure failure;
  std::latch ready(setup.workers + 1), go(1), done(setup.workers);

  std::vector<std::jthread> threads;
  for (std::size_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      std::unique_ptr<LookupLoop> loop;
      failure.guard([&] {
        place_worker(setup, static_cast<int>(w));
        int const connections = share_of_in_flight(setup.in_flight, setup.workers, static_cast<int>(w));
        loop = std::make_unique<LookupLoop>(stream, cursor, tallies[w], connections);
        watch.worker_ready();
      });
      ready.count_down();
      go.wait();
      if (loop && !failure.guard([&] { loop->run(); })) cursor.stop();
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
