// fibers on `lookup`: Boost.Fiber, a scheduler per worker thread, a fiber per event in flight.
#include <boost/fiber/context.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/protected_fixedsize_stack.hpp>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "models/fibers/scheduler.hpp"
#include "models/model.hpp"
#include "models/runtime/connection.hpp"
#include "models/runtime/event_cursor.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/reactor.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

namespace bf = boost::fibers;

/// A connection whose fiber is parked while there is nothing to receive.
struct Parked : ReadyHandler {
  explicit Parked(Connection&& c) : ReadyHandler{wake}, connection(std::move(c)) {}
  Connection connection;
  bf::context* fiber = nullptr;  ///< null: none waits

  void wait_readable() {
    fiber = bf::context::active();
    fiber->suspend();
  }
  static bool wake(ReadyHandler& self) {
    bf::context* const waiting = std::exchange(static_cast<Parked&>(self).fiber, nullptr);
    if (waiting != nullptr) bf::context::active()->schedule(waiting);
    return waiting != nullptr;
  }
};

/// Looks up events until there are no more: one fiber per event in flight, each with its connection.
void look_up_fiber_events(LookupStream const& stream, EventCursor& cursor, FirstFailure& failure,
                          Parked& parked, ReceiveBuffer& buffer, Counts& tally) {
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
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  EventCursor cursor(stream.events());
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    auto const reactor = std::make_shared<Reactor>(setup.io);
    ReceiveBuffer buffer;
    Counts& tally = tallies[static_cast<std::size_t>(w)];
    std::vector<Parked> connections;
    std::vector<bf::fiber> fibers;
    self.failure().guard([&] {
      place_worker(setup, w);
      bf::use_scheduling_algorithm<ReactorScheduler>(reactor);
      auto const share = static_cast<std::size_t>(share_of_in_flight(setup.in_flight, setup.workers, w));
      connections.reserve(share);
      fibers.reserve(share);
      for (std::size_t c = 0; c < share; ++c) {
        Parked& parked = connections.emplace_back(connect_non_blocking(stream.service()));
        parked.connection.join(*reactor, parked);
        fibers.emplace_back(std::allocator_arg, bf::protected_fixedsize_stack(kStackBytes), [&] {
          look_up_fiber_events(stream, cursor, self.failure(), parked, buffer, tally);
        });
      }
      boost::this_fiber::yield();
      watch.worker_ready();
    });
    self.stand_ready();
    // Also if there is nothing to do after all: then somebody has failed, and fibers that see it end at once.
    for (bf::fiber& fiber : fibers) fiber.join();
    self.finish();
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
