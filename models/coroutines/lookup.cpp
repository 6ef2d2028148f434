// coroutines on `lookup`: a C++20 coroutine for each event, on a readiness loop per worker thread; it is made
// for the event, and gone with it.
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "models/coroutines/frames.hpp"
#include "models/model.hpp"
#include "models/runtime/event_cursor.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/placement.hpp"
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

/// One worker's connections, on each of which one coroutine after the other looks up an event.
class CoroutineLookupLoop {
 public:
  CoroutineLookupLoop(LookupStream const& stream, EventCursor& cursor, FirstFailure& failure, Counts& tally,
                      int connections, Io io)
      : stream_(stream), cursor_(cursor), failure_(failure), tally_(tally), reactor_(io) {
    waitables_.reserve(static_cast<std::size_t>(connections));
    for (int c = 0; c < connections; ++c) {
      Waitable& waitable = waitables_.emplace_back(connect_non_blocking(stream.service()));
      waitable.connection.join(reactor_, waitable);
    }
  }

  /// Returns when all is counted. Needs Frames::cache.
  void run() {
    for (Waitable& waitable : waitables_) begin(waitable);
    while (running_ > 0) reactor_.run_once(std::nullopt);
  }
  std::uint64_t made() const noexcept { return made_; }

 private:
  /// A coroutine that begins at once and that nobody waits for. When it has ended, and its frame is free
  /// again, its connection's next one begins.
  struct LookUp {
    struct promise_type : Frames::Promise {
      promise_type(CoroutineLookupLoop& l, Waitable& w, std::uint64_t) noexcept : loop(l), waitable(w) {}
      LookUp get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      auto final_suspend() const noexcept {
        struct Awaiter {
          bool await_ready() const noexcept { return false; }
          void await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
            CoroutineLookupLoop& its_loop = ended.promise().loop;
            Waitable& its_waitable = ended.promise().waitable;
            ended.destroy();
            its_loop.ended(its_waitable);
          }
          void await_resume() const noexcept {}
        };
        return Awaiter{};
      }
      void return_void() const noexcept {}
      void unhandled_exception() const noexcept { loop.fail(); }
      CoroutineLookupLoop& loop;
      Waitable& waitable;
    };
  };

  LookUp look_up(Waitable& waitable, std::uint64_t event) {
    waitable.connection.send(stream_, event);
    std::span<char const> reply;
    do {
      co_await waitable.readable();
      reply = waitable.connection.receive(stream_, buffer_);
    } while (reply.empty());
    stream_.accept(event, reply, tally_);
  }

  void begin(Waitable& waitable) {
    auto const event = cursor_.take();
    if (!event) return;
    ++running_;
    ++made_;
    look_up(waitable, *event);
  }
  void ended(Waitable& waitable) noexcept {
    --running_;
    try {
      begin(waitable);
    } catch (...) {  // no memory for a frame
      --running_;
      fail();
    }
  }
  void fail() noexcept {
    failure_.set(std::current_exception());
    cursor_.stop();  // at once: the others' lookups lead nowhere
  }

  LookupStream const& stream_;
  EventCursor& cursor_;
  FirstFailure& failure_;
  Counts& tally_;
  Reactor reactor_;
  ReceiveBuffer buffer_;
  std::vector<Waitable> waitables_;
  std::size_t running_ = 0;
  std::uint64_t made_ = 0;
};

}  // namespace

Counts coroutines_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  EventCursor cursor(stream.events());
  Frames frames;
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    Frames::Cache cache(frames.depot());
    Frames::cache = &cache;
    CoroutineLookupLoop loop(stream, cursor, self.failure(), tallies[static_cast<std::size_t>(w)],
                             share_of_in_flight(setup.in_flight, setup.workers, w), setup.io);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    loop.run();
    self.finish();
    watch.add_scheduled(loop.made());
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
