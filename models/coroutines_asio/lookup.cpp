// coroutines_asio on `lookup`: Boost.Asio's coroutines on an io_context per worker thread; one coroutine per
// event in flight.
#include <cstddef>
#include <span>
#include <system_error>
#include <vector>

#include "models/coroutines_asio/loop.hpp"
#include "models/model.hpp"
#include "models/runtime/connection.hpp"
#include "models/runtime/event_cursor.hpp"
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

Awaitable look_up_asio_events(LookupStream const& stream, EventCursor& cursor, Client client,
                              ReceiveBuffer& buffer, Counts& tally) {
  while (auto const event = cursor.take()) {
    client.connection.send(stream, *event);
    std::span<char const> reply;
    do {
      // Waits first: a reply is never there yet when its request has just been sent.
      co_await client.replies.async_readable(asio::deferred);
      reply = client.connection.receive(stream, buffer);
    } while (reply.empty());
    stream.accept(*event, reply, tally);
  }
}

}  // namespace

Counts coroutines_asio_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  EventCursor cursor(stream.events());
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    ReceiveBuffer buffer;
    AsioLoop loop(AsioLoop::Used::by_one_thread);
    for (int c = share_of_in_flight(setup.in_flight, setup.workers, w); c > 0; --c)
      loop.spawn(look_up_asio_events(stream, cursor, Client(loop, stream.service()), buffer,
                                     tallies[static_cast<std::size_t>(w)]));
    watch.worker_ready();
    if (!self.stand_ready()) return;
    try {
      loop.run();
    } catch (...) {
      // This thread's other lookups go with their loop; those of others end with the replies they wait for.
      cursor.stop();
      throw;
    }
    self.finish();
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
