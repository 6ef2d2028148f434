// coroutines on the `ingest` stream: one that accepts, and one for each connection, on a reactor per worker
// thread.
#include <coroutine>
#include <exception>
#include <utility>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/io/reactor_socket.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// A coroutine that nobody waits for: it begins at once, and frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }  // bodies catch all
  };
};

/// One worker's connections to the `ingest` stream: a coroutine that accepts, and one for each connection.
class CoroutineIngestServer {
 public:
  CoroutineIngestServer(IngestStream const& stream, int worker, FirstFailure& failure, Io io)
      : stream_(stream),
        worker_(worker),
        failure_(failure),
        acceptor_(stream),
        reactor_(io, ring_buffers(stream)),
        stopping_(*this) {
    reactor_.add(stream.stop_fd(), stopping_);
  }
  /// Coroutines are left only where the loop has failed.
  ~CoroutineIngestServer() {
    while (Readable* const readable = awaited()) readable->waiting.destroy();
  }
  CoroutineIngestServer(CoroutineIngestServer const&) = delete;
  CoroutineIngestServer& operator=(CoroutineIngestServer const&) = delete;

  /// Returns when the stream has stopped and what was there is counted.
  void run() {
    StopOnFailure const stop_others(stream_);
    stream_.listening();
    accept_all();
    while (!stopped_) reactor_.run_once(std::nullopt);
    // Each finds that there is no more to wait for. Those that accept may begin others, which then stand here
    // too.
    while (Readable* const readable = awaited()) readable->resume_now();
  }

 private:
  /// A socket that a coroutine waits for, at times.
  struct Readable : ReactorSocket {
    Readable(CoroutineIngestServer& s, int socket, Wanted wanted = Wanted::readiness)
        : ReactorSocket(s.reactor_, socket, s.sockets_, resume, wanted), server(s) {}

    static bool resume(ReadyHandler& self) {
      auto& readable = static_cast<Readable&>(self);
      if (!readable.waiting) return readable.pause();
      readable.resume_now();
      return true;  // by now there may be no socket, and no handler
    }
    void resume_now() { std::exchange(waiting, {}).resume(); }
    bool await_ready() const noexcept { return server.stopped_; }
    void await_suspend(std::coroutine_handle<> coroutine) {
      watch();
      waiting = coroutine;
    }
    void await_resume() const noexcept {}

    CoroutineIngestServer& server;
    std::coroutine_handle<> waiting{};
  };

  /// A socket that a coroutine waits for now; null if there is none.
  Readable* awaited() const noexcept {
    for (ReactorSocket* socket = sockets_.first(); socket != nullptr; socket = socket->next())
      if (auto* const readable = static_cast<Readable*>(socket); readable->waiting) return readable;
    return nullptr;
  }

  struct Stopping : ReadyHandler {
    explicit Stopping(CoroutineIngestServer& s) : ReadyHandler{stop}, server(s) {}
    static bool stop(ReadyHandler& self) {
      static_cast<Stopping&>(self).server.stopped_ = true;
      return false;
    }
    CoroutineIngestServer& server;
  };

  Detached accept_all() {
    try {
      Readable readable(*this, acceptor_.fd());
      while (!stopped_) {
        co_await readable;
        accept_some(stopped_ ? acceptor_.waiting() : kAcceptsAtOnce);
      }
    } catch (...) {
      fail();
    }
    acceptor_.close();  // at once: its handler has gone
  }
  void accept_some(int most) {
    for (int i = 0; i < most; ++i) {
      OwnedFd connection = acceptor_.accept();
      if (connection.get() < 0) return;
      if (stream_.lookups() != nullptr)
        serve_looking_up(std::move(connection));
      else
        serve(std::move(connection));
    }
  }

  Detached serve(OwnedFd socket) {
    try {
      ServedConnection client{.socket = std::move(socket)};
      Readable readable(*this, client.socket.get(), wanted_of(client));
      client.transfer = readable.transfer();
      while (!stopped_) {
        co_await readable;
        if (stopped_) break;
        if (receive_ready(client, stream_, worker_, buffer_) == Arrived::the_end) co_return;
      }
      receive_last(client, stream_, worker_, buffer_);
    } catch (...) {
      fail();
    }
  }

  /// Apart from serve(), whose frames are smaller.
  Detached serve_looking_up(OwnedFd socket) {
    try {
      ServedConnection client{.socket = std::move(socket), .lookups = lookups_of(stream_, worker_, true)};
      EventLookups& lookups = *client.lookups;
      Readable readable(*this, client.socket.get(), wanted_of(client)),
          replies(*this, lookups.fd(), Wanted::bytes);
      client.transfer = readable.transfer();
      lookups.join(replies.transfer());
      while (!stopped_) {
        co_await readable;
        if (stopped_) break;
        if (receive_ready(client, stream_, worker_, buffer_) == Arrived::the_end) co_return;
        while (!stopped_ && lookups.ask()) {
          do co_await replies;
          while (!stopped_ && !lookups.receive_and_count(reply_));
        }
      }
      receive_last(client, stream_, worker_, buffer_);
    } catch (...) {
      fail();
    }
  }

  void fail() noexcept {
    failure_.set(std::current_exception());
    stream_.stop();
  }

  IngestStream const& stream_;
  int worker_;
  FirstFailure& failure_;
  Acceptor acceptor_;
  Reactor reactor_;
  Stopping stopping_;
  bool stopped_ = false;
  ReactorSocket::List sockets_;
  ReadBuffer buffer_;
  ReceiveBuffer reply_;
};

}  // namespace

Counts coroutines_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    CoroutineIngestServer server(stream, w, self.failure(), setup.io);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    server.run();
    self.finish();
  });
  return serve_with(threads, stream, watch);
}

}  // namespace tally
