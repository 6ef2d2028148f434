// fibers on the `ingest` stream: a fiber that accepts, and one for each connection, on a scheduler per worker
// thread.
#include <boost/fiber/context.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/protected_fixedsize_stack.hpp>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "models/fibers/scheduler.hpp"
#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/io/reactor_socket.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

namespace bf = boost::fibers;

/// One worker's connections to the `ingest` stream: the worker's own fiber accepts, and one for each
/// connection serves.
class FiberIngestServer {
 public:
  FiberIngestServer(IngestStream const& stream, int worker, FirstFailure& failure, Reactor& reactor)
      : stream_(stream),
        worker_(worker),
        failure_(failure),
        reactor_(reactor),
        acceptor_(stream),
        stopping_(*this) {
    reactor.add(stream.stop_fd(), stopping_);
  }
  FiberIngestServer(FiberIngestServer const&) = delete;
  FiberIngestServer& operator=(FiberIngestServer const&) = delete;

  /// Returns when the stream has stopped and what was there is counted.
  void run() {
    stream_.listening();
    bool const ok = failure_.guard([&] {
      Waiting waiting(*this, acceptor_.fd());
      while (!stopped_) {
        waiting.wait_readable();
        accept_some(stopped_ ? acceptor_.waiting() : kAcceptsAtOnce);
      }
    });
    if (!ok) stop_now();
    acceptor_.close();
    // Nothing that is left to do waits for anything: each fiber ends when it next runs.
    wake_all();
    while (serving_ > 0) boost::this_fiber::yield();
  }

 private:
  /// A socket that a fiber waits for, at times.
  struct Waiting : ReactorSocket {
    Waiting(FiberIngestServer& s, int socket, Wanted wanted = Wanted::readiness)
        : ReactorSocket(s.reactor_, socket, s.sockets_, readable, wanted), server(s) {}

    static bool readable(ReadyHandler& self) {
      auto& waiting = static_cast<Waiting&>(self);
      return waiting.wake() || waiting.pause();
    }
    /// False if no fiber waits.
    bool wake() {
      bf::context* const parked = std::exchange(fiber, nullptr);
      if (parked != nullptr) bf::context::active()->schedule(parked);
      return parked != nullptr;
    }
    void wait_readable() {
      if (server.stopped_) return;
      watch();
      fiber = bf::context::active();
      fiber->suspend();
    }

    FiberIngestServer& server;
    bf::context* fiber = nullptr;  ///< null: none waits
  };

  struct Stopping : ReadyHandler {
    explicit Stopping(FiberIngestServer& s) : ReadyHandler{stop}, server(s) {}
    static bool stop(ReadyHandler& self) {
      static_cast<Stopping&>(self).server.stop_now();
      return false;
    }
    FiberIngestServer& server;
  };

  void stop_now() {
    stopped_ = true;
    stream_.stop();
    wake_all();
  }
  void wake_all() {
    for (ReactorSocket* s = sockets_.first(); s != nullptr; s = s->next()) static_cast<Waiting*>(s)->wake();
  }

  void accept_some(int most) {
    for (int i = 0; i < most; ++i) {
      OwnedFd connection = acceptor_.accept();
      if (connection.get() < 0) return;
      begin(std::move(connection));
    }
  }

  /// What the fiber of a connection does.
  struct Serving {
    FiberIngestServer* server;
    ServedConnection client;
    void operator()() { server->serve(client); }
  };

  void begin(OwnedFd connection) {
    Serving body{this, {.socket = std::move(connection), .lookups = lookups_of(stream_, worker_, true)}};
    try {
      // Counted once it is there: it does not run before this fiber gives way.
      bf::fiber fiber(std::allocator_arg, bf::protected_fixedsize_stack(kStackBytes), std::move(body));
      ++serving_;
      fiber.detach();
    } catch (std::bad_alloc const&) {  // by the stack, before the body was moved into it
      acceptor_.reject(std::move(body.client.socket),
                       "tally: too many connections: no more stacks ('vm.max_map_count')\n");
    }
  }

  void serve(ServedConnection& accepted) noexcept {
    bool const ok = failure_.guard([&] {
      // Closed at its end, not when the fiber's stack is taken away.
      ServedConnection client = std::move(accepted);
      Waiting waiting(*this, client.socket.get(), wanted_of(client));
      client.transfer = waiting.transfer();
      std::optional<Waiting> replies;
      if (client.lookups) {
        replies.emplace(*this, client.lookups->fd(), Wanted::bytes);
        client.lookups->join(replies->transfer());
      }
      while (!stopped_) {
        waiting.wait_readable();
        if (stopped_) break;
        if (receive_ready(client, stream_, worker_, buffer_) == Arrived::the_end) return;
        if (client.lookups) look_up_all(*client.lookups, *replies);
      }
      receive_last(client, stream_, worker_, buffer_);
    });
    if (!ok && !stopped_) stop_now();
    --serving_;
  }

  void look_up_all(EventLookups& lookups, Waiting& replies) {
    while (!stopped_ && lookups.ask()) {
      do replies.wait_readable();
      while (!stopped_ && !lookups.receive_and_count(reply_));
    }
  }

  IngestStream const& stream_;
  int worker_;
  FirstFailure& failure_;
  Reactor& reactor_;
  Acceptor acceptor_;
  Stopping stopping_;
  bool stopped_ = false;
  ReactorSocket::List sockets_;
  std::size_t serving_ = 0;
  ReceiveBuffer reply_;
  ReadBuffer buffer_;  // no fiber gives way between reading and counting
};

}  // namespace

Counts fibers_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    auto const reactor = std::make_shared<Reactor>(setup.io, ring_buffers(stream));
    place_worker(setup, w);
    bf::use_scheduling_algorithm<ReactorScheduler>(reactor);
    auto const server = std::make_unique<FiberIngestServer>(stream, w, self.failure(), *reactor);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    StopOnFailure const stop_others(stream);
    server->run();
    self.finish();
  });
  return serve_with(threads, stream, watch);
}

}  // namespace tally
