// event_loop: the reactor with callbacks alone, on one thread, as Twisted and Node work. With several
// workers, as many loops, which share nothing: each has its own part of the stream.
#include <optional>
#include <vector>

#include "models/connection.hpp"
#include "models/failure.hpp"
#include "models/ingest_loop.hpp"
#include "models/model.hpp"
#include "models/placement.hpp"
#include "models/reactor.hpp"
#include "models/worker_threads.hpp"

namespace tally {
namespace {

/// Counts a part of a stream in turns: each runs the callbacks that stood in the queue when it began, so that
/// one that posts another lets all others go first.
class CountingLoop {
 public:
  /// What is given must outlive the loop.
  CountingLoop(CpuStream const& stream, Range part, std::uint64_t batch, Counts& tally)
      : stream_(stream), reader_(stream, part, batch), tally_(tally) {}

  /// Returns when all is counted. Throws what a callback throws.
  void run() {
    post(read_some);
    while (!next_.empty()) {
      now_.swap(next_);
      for (Callback const& callback : now_) callback.call(*this, callback.batch);
      now_.clear();
    }
  }

 private:
  struct Callback {
    void (*call)(CountingLoop& loop, Range batch);
    Range batch;
  };
  /// Batches that are read before they are counted: as many as a socket's buffer would hold of them.
  static constexpr int kHighWater = 256;

  void post(void (*call)(CountingLoop&, Range), Range batch = {}) { next_.push_back({call, batch}); }

  static void read_some(CountingLoop& loop, Range) {
    for (int i = 0; i < kHighWater; ++i) {
      Range const batch = loop.reader_.next();
      if (batch.empty()) return;
      loop.post(count, batch);
    }
    loop.post(read_some);
  }
  static void count(CountingLoop& loop, Range batch) { loop.stream_.count(batch, loop.tally_); }

  CpuStream const& stream_;
  BatchReader reader_;
  Counts& tally_;
  std::vector<Callback> now_, next_;
};

/// Looks up its own events, each connection's next when the reply to its last has come.
class CallbackLookupLoop {
 public:
  /// Connects. What is given must outlive the loop. Throws LookupFailed.
  CallbackLookupLoop(LookupStream const& stream, Range events, int connections, FirstFailure const& failure,
                     Counts& tally, Io io)
      : stream_(stream), events_(events), failure_(failure), tally_(tally), reactor_(io) {
    slots_.reserve(static_cast<std::size_t>(connections));
    for (int c = 0; c < connections; ++c) {
      Slot& slot = slots_.emplace_back(*this, connect_non_blocking(stream.service()));
      slot.connection.join(reactor_, slot);
    }
  }

  /// Returns when all is counted. Throws LookupFailed.
  void run() {
    for (Slot& slot : slots_) ask(slot);
    while (waiting_ > 0) reactor_.run_once(std::nullopt);
  }

 private:
  struct Slot : ReadyHandler {
    Slot(CallbackLookupLoop& l, Connection&& c) : ReadyHandler{replied}, loop(l), connection(std::move(c)) {}
    CallbackLookupLoop& loop;
    Connection connection;
    std::uint64_t event = 0;
    bool asked = false;
  };

  void ask(Slot& slot) {
    // Once another loop has failed, these lookups lead nowhere.
    slot.asked = !events_.empty() && !failure_.failed();
    if (!slot.asked) return;
    slot.event = events_.begin++;
    slot.connection.send(stream_, slot.event);
    ++waiting_;
  }

  static bool replied(ReadyHandler& self) {
    auto& slot = static_cast<Slot&>(self);
    CallbackLookupLoop& loop = slot.loop;
    if (!slot.asked) return false;
    auto const reply = slot.connection.receive(loop.stream_, loop.buffer_);
    if (reply.empty()) return true;
    loop.stream_.accept(slot.event, reply, loop.tally_);
    --loop.waiting_;
    loop.ask(slot);
    return true;
  }

  LookupStream const& stream_;
  Range events_;  // not yet asked for
  FirstFailure const& failure_;
  Counts& tally_;
  Reactor reactor_;
  ReceiveBuffer buffer_;
  std::vector<Slot> slots_;
  std::size_t waiting_ = 0;
};

}  // namespace

/// Loop w has the w-th of `workers` adjacent parts of the stream.
Counts event_loop_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Range> const parts = stream.split(static_cast<std::size_t>(setup.workers));
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  WorkerThreads threads(setup.workers, [&](int worker, WorkerThreads::Self& self) {
    auto const w = static_cast<std::size_t>(worker);
    place_worker(setup, worker);
    CountingLoop loop(stream, parts[w], setup.batch, tallies[w]);
    watch.worker_ready();
    if (self.stand_ready()) loop.run();
  });
  return time_workers(threads, watch, tallies);
}

/// Each loop has as large a part of the events, adjacent ones, as it has of the connections.
Counts event_loop_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  std::vector<Range> parts;
  int connections = 0;
  for (int w = 0; w < setup.workers; ++w) {
    std::uint64_t const begin = parts.empty() ? 0 : parts.back().end;
    connections += share_of_in_flight(setup.in_flight, setup.workers, w);
    // No overflow: there are at most 2^40 events, and 10^6 in flight.
    auto const in_flight = static_cast<std::uint64_t>(setup.in_flight);
    parts.push_back({begin, stream.events() * static_cast<std::uint64_t>(connections) / in_flight});
  }
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    CallbackLookupLoop loop(stream, parts[static_cast<std::size_t>(w)],
                            share_of_in_flight(setup.in_flight, setup.workers, w), self.failure(),
                            tallies[static_cast<std::size_t>(w)], setup.io);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    loop.run();
    self.finish();
  });
  return time_workers(threads, watch, tallies);
}

Counts event_loop_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    IngestLoop loop(stream, w, setup.io);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    loop.run();
    self.finish();
  });
  return serve_with(threads, stream, watch);
}

}  // namespace tally
