// fibers on `lookup`: Boost.Fiber, a scheduler per worker thread, a fiber for each event: it is made for it,
// and gone with it.
#include <boost/fiber/context.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/policy.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "models/fibers/scheduler.hpp"
#include "models/fibers/stacks.hpp"
#include "models/model.hpp"
#include "models/runtime/event_cursor.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/placement.hpp"
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

/// One worker's connections, on each of which one fiber after the other looks up an event.
class FiberLookups {
 public:
  FiberLookups(LookupStream const& stream, EventCursor& cursor, FirstFailure& failure, Counts& tally,
               PooledStacks& stacks)
      : stream_(stream), cursor_(cursor), failure_(failure), tally_(tally), stacks_(stacks) {}

  /// Connects. Throws LookupFailed, std::system_error.
  void connect(std::size_t connections, Reactor& reactor) {
    connections_.reserve(connections);
    for (std::size_t c = 0; c < connections; ++c) {
      Parked& parked = connections_.emplace_back(connect_non_blocking(stream_.service()));
      parked.connection.join(reactor, parked);
    }
  }

  /// Returns when all is counted: the thread's main fiber is parked meanwhile.
  void run() {
    main_ = bf::context::active();
    bool const ok = failure_.guard([&] {
      for (Parked& parked : connections_) begin(parked);
    });
    if (!ok) cursor_.stop();
    if (running_ > 0) main_->suspend();
  }
  std::uint64_t made() const noexcept { return made_; }

 private:
  /// Makes a fiber for the next event, if there is one.
  void begin(Parked& parked) {
    auto const event = cursor_.take();
    if (!event) return;
    bf::fiber(bf::launch::post, std::allocator_arg, PooledStacks::Allocator(stacks_),
              [this, &parked, event = *event] {
                bool ok = failure_.guard([&] { look_up(parked, event); });
                ok = ok && failure_.guard([&] { begin(parked); });
                if (!ok) cursor_.stop();  // at once: the others' lookups lead nowhere
                if (--running_ == 0) bf::context::active()->schedule(main_);
              })
        .detach();
    ++running_;
    ++made_;
  }
  void look_up(Parked& parked, std::uint64_t event) {
    parked.connection.send(stream_, event);
    std::span<char const> reply;
    do {
      parked.wait_readable();
      reply = parked.connection.receive(stream_, buffer_);
    } while (reply.empty());
    stream_.accept(event, reply, tally_);
  }

  LookupStream const& stream_;
  EventCursor& cursor_;
  FirstFailure& failure_;
  Counts& tally_;
  PooledStacks& stacks_;
  ReceiveBuffer buffer_;
  std::vector<Parked> connections_;
  bf::context* main_ = nullptr;
  std::size_t running_ = 0;
  std::uint64_t made_ = 0;
};

}  // namespace

Counts fibers_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  EventCursor cursor(stream.events());
  PooledStacks stacks;
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    auto const reactor = std::make_shared<Reactor>(setup.io);
    auto const share = static_cast<std::size_t>(share_of_in_flight(setup.in_flight, setup.workers, w));
    PooledStacks::Cache cache(stacks.depot());
    PooledStacks::cache = &cache;
    FiberLookups lookups(stream, cursor, self.failure(), tallies[static_cast<std::size_t>(w)], stacks);
    place_worker(setup, w);
    bf::use_scheduling_algorithm<ReactorScheduler>(reactor);
    PooledStacks::prepare(cache, share);
    lookups.connect(share, *reactor);
    watch.worker_ready();
    if (self.stand_ready()) lookups.run();
    self.finish();
    watch.add_scheduled(lookups.made());
    boost::this_fiber::yield();  // to the dispatcher, which gives back the stacks of those that have ended
    PooledStacks::cache = nullptr;
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
