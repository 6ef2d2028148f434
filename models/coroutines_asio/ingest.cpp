// coroutines_asio on the `ingest` stream: a coroutine that accepts, and one for each connection, on an
// io_context per worker thread.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/system/system_error.hpp>
#include <tuple>
#include <utility>

#include "models/coroutines_asio/loop.hpp"
#include "models/model.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// One worker's connections to the `ingest` stream. All of it is of one thread, from beginning to end.
class AsioIngestServer {
 public:
  /// Listens. The stream must outlive the server. Throws std::system_error.
  AsioIngestServer(IngestStream const& stream, int worker)
      : stream_(stream), worker_(worker), acceptor_(stream) {}

  /// Returns when the stream has stopped and what was there is counted. Throws the first that a coroutine
  /// throws.
  void run() {
    StopOnFailure const stop_others(stream_);
    stream_.listening();
    loop_.spawn(accept_all());
    loop_.spawn(stop_with_stream());
    loop_.run();
  }

 private:
  using Link = boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

  /// A socket that a coroutine waits for, at times, and that is in the list of them as long as it lives.
  class Readable : public Link {
   public:
    Readable(AsioIngestServer& server, int fd) : descriptor_(server.loop_, fd) {
      server.sockets_.push_back(*this);
    }
    /// Suspends until there is something to read, or the server stops; gives what went_on() takes. Not to be
    /// called once the server has stopped.
    auto wait() { return descriptor_.async_readable(asio::as_tuple(asio::deferred)); }
    void cancel() { descriptor_.cancel(); }

   private:
    WatchedDescriptor descriptor_;
  };

  /// Whether a wait has not ended because the server stops. Throws boost::system::system_error if it failed.
  bool went_on(std::tuple<boost::system::error_code> const& waited) const {
    auto const& [error] = waited;
    if (error && error != asio::error::operation_aborted)
      throw boost::system::system_error(error, "async_wait");
    return !stopped_;  // a wait that had ended before it was cancelled says nothing of it
  }

  Awaitable stop_with_stream() {
    Readable stop(*this, stream_.stop_fd());
    went_on(co_await stop.wait());  // it is the first to know
    stopped_ = true;
    for (Readable& socket : sockets_) socket.cancel();  // each coroutine goes on from its wait, and then ends
  }

  Awaitable accept_all() {
    {
      Readable listening(*this, acceptor_.fd());
      while (!stopped_) {
        if (went_on(co_await listening.wait())) accept_some(kAcceptsAtOnce);
      }
    }
    accept_some(acceptor_.waiting());
    acceptor_.close();
  }
  void accept_some(int most) {
    for (int i = 0; i < most; ++i) {
      OwnedFd connection = acceptor_.accept();
      if (connection.get() < 0) return;
      if (stream_.lookups() != nullptr)
        loop_.spawn(serve_looking_up(std::move(connection)));
      else
        loop_.spawn(serve(std::move(connection)));
    }
  }

  Awaitable serve(OwnedFd accepted) {
    ServedConnection client{.socket = std::move(accepted)};
    Readable socket(*this, client.socket.get());
    while (!stopped_) {
      if (!went_on(co_await socket.wait())) break;
      if (receive_ready(client, stream_, worker_, buffer_) == Arrived::the_end) co_return;
    }
    receive_last(client, stream_, worker_, buffer_);
  }

  /// Apart from serve(), whose frames are smaller. A connection whose events wait is not read.
  Awaitable serve_looking_up(OwnedFd accepted) {
    ServedConnection client{.socket = std::move(accepted), .lookups = lookups_of(stream_, worker_, true)};
    EventLookups& lookups = *client.lookups;
    Readable socket(*this, client.socket.get()), replies(*this, lookups.fd());
    while (!stopped_) {
      if (!went_on(co_await socket.wait())) break;
      if (receive_ready(client, stream_, worker_, buffer_) == Arrived::the_end) co_return;
      while (!stopped_ && lookups.ask()) {
        do {
          if (!went_on(co_await replies.wait())) break;
        } while (!lookups.receive_and_count(reply_));
      }
    }
    receive_last(client, stream_, worker_, buffer_);
  }

  IngestStream const& stream_;
  int worker_;
  Acceptor acceptor_;
  bool stopped_ = false;
  ReadBuffer buffer_;
  ReceiveBuffer reply_;
  boost::intrusive::list<Readable, boost::intrusive::constant_time_size<false>> sockets_;
  // Last, and so the first to go: with it go coroutines that have not ended, and these use the others.
  AsioLoop loop_{AsioLoop::Used::by_one_thread};
};

}  // namespace

Counts coroutines_asio_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    AsioIngestServer server(stream, w);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    server.run();
    self.finish();
  });
  return serve_with(threads, stream, watch);
}

}  // namespace tally
