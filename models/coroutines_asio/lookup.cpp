// coroutines_asio on `lookup`: Boost.Asio's coroutines on an io_context per worker thread; one spawned for
// each event.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <system_error>
#include <vector>

#include "models/coroutines_asio/loop.hpp"
#include "models/model.hpp"
#include "models/runtime/event_cursor.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// A connection to the lookup service that Asio waits for.
struct Client {
  /// Connects. Throws LookupFailed, boost::system::system_error.
  Client(AsioLoop& loop, LookupTarget const& service)
      : connection(connect_non_blocking(service)), replies(loop, connection.fd()) {}
  Connection connection;
  WatchedDescriptor replies;
};

/// One worker's connections, on each of which one coroutine after the other looks up an event.
class AsioLookups {
 public:
  /// Connects. Throws LookupFailed, boost::system::system_error.
  AsioLookups(LookupStream const& stream, EventCursor& cursor, Counts& tally, int connections)
      : stream_(stream), cursor_(cursor), tally_(tally) {
    for (int c = 0; c < connections; ++c) clients_.emplace_back(loop_, stream.service());
  }

  /// Returns when all is counted. Throws what a lookup throws.
  void run() {
    for (Client& client : clients_) begin(client);
    loop_.run();
  }
  std::uint64_t spawned() const noexcept { return spawned_; }

 private:
  void begin(Client& client) {
    auto const event = cursor_.take();
    if (!event) return;
    ++spawned_;
    loop_.spawn(look_up(client, *event), [this, &client] { begin(client); });
  }
  Awaitable look_up(Client& client, std::uint64_t event) {
    client.connection.send(stream_, event);
    std::span<char const> reply;
    do {
      // Waits first: a reply is never there yet when its request has just been sent.
      co_await client.replies.async_readable(asio::deferred);
      reply = client.connection.receive(stream_, buffer_);
    } while (reply.empty());
    stream_.accept(event, reply, tally_);
  }

  LookupStream const& stream_;
  EventCursor& cursor_;
  Counts& tally_;
  ReceiveBuffer buffer_;
  AsioLoop loop_{AsioLoop::Used::by_one_thread};
  std::deque<Client> clients_;
  std::uint64_t spawned_ = 0;
};

}  // namespace

Counts coroutines_asio_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  EventCursor cursor(stream.events());
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    AsioLookups lookups(stream, cursor, tallies[static_cast<std::size_t>(w)],
                        share_of_in_flight(setup.in_flight, setup.workers, w));
    watch.worker_ready();
    if (!self.stand_ready()) return;
    try {
      lookups.run();
    } catch (...) {
      // This thread's other lookups go with their loop; those of others end with the replies they wait for.
      cursor.stop();
      throw;
    }
    self.finish();
    watch.add_scheduled(lookups.spawned());
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
