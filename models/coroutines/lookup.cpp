// coroutines on `lookup`: C++20 coroutines on an event loop per worker thread; one coroutine per event in
// flight.
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "models/coroutines/loop.hpp"
#include "models/model.hpp"
#include "models/runtime/connection.hpp"
#include "models/runtime/event_cursor.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/reactor.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// A connection on which a coroutine waits: `co_await readable` suspends it until there is something to
/// receive.
struct Waitable : ReadyHandler {
  explicit Waitable(Connection&& c) : ReadyHandler{resume}, connection(std::move(c)) {}
  Connection connection;
  std::coroutine_handle<> waiting{};  ///< null: none waits

  static bool resume(ReadyHandler& self) {
    auto const waiting = std::exchange(static_cast<Waitable&>(self).waiting, {});
    if (waiting) waiting.resume();
    return static_cast<bool>(waiting);
  }
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
class CoroutineLookupLoop {
 public:
  CoroutineLookupLoop(LookupStream const& stream, EventCursor& cursor, FirstFailure& failure, Counts& tally,
                      int connections, Io io)
      : stream_(stream), cursor_(cursor), failure_(failure), tally_(tally), reactor_(io) {
    waitables_.reserve(static_cast<std::size_t>(connections));
    tasks_.reserve(static_cast<std::size_t>(connections));
    for (int c = 0; c < connections; ++c) {
      Waitable& waitable = waitables_.emplace_back(connect_non_blocking(stream.service()));
      waitable.connection.join(reactor_, waitable);
      tasks_.push_back(look_up_events(waitable));
    }
  }

  void run() {
    running_ = tasks_.size();
    for (Task const& task : tasks_) task.handle().resume();
    while (running_ > 0) reactor_.run_once(std::nullopt);
  }

 private:
  Task look_up_events(Waitable& waitable) {
    try {
      while (auto const event = cursor_.take()) {
        waitable.connection.send(stream_, *event);
        std::span<char const> reply;
        do {
          co_await waitable.readable();
          reply = waitable.connection.receive(stream_, buffer_);
        } while (reply.empty());
        stream_.accept(*event, reply, tally_);
      }
    } catch (...) {
      failure_.set(std::current_exception());
      cursor_.stop();  // at once: the others' lookups lead nowhere
    }
    --running_;
  }

  LookupStream const& stream_;
  EventCursor& cursor_;
  FirstFailure& failure_;
  Counts& tally_;
  Reactor reactor_;
  ReceiveBuffer buffer_;
  std::vector<Waitable> waitables_;
  std::vector<Task> tasks_;
  std::size_t running_ = 0;
};

}  // namespace

Counts coroutines_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  EventCursor cursor(stream.events());
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    CoroutineLookupLoop loop(stream, cursor, self.failure(), tallies[static_cast<std::size_t>(w)],
                             share_of_in_flight(setup.in_flight, setup.workers, w), setup.io);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    loop.run();
    self.finish();
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
