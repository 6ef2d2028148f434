// event_loop on `lookup`: callbacks on a readiness loop per worker; loops share nothing.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

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

  /// Events that were asked for: a callback each.
  std::uint64_t asked() const noexcept { return asked_; }
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
    ++asked_;
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
  std::uint64_t asked_ = 0;
};

}  // namespace

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
    watch.add_scheduled(loop.asked());
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
