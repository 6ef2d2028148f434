#include "models/runtime/io/ingest_loop.hpp"

#include <memory>
#include <utility>

namespace tally {

/// A connection: its callback reads and counts, and at the end takes the connection away.
struct IngestLoop::Client : ReactorSocket {
  /// The connection to the lookup service, whose callback counts the event that was asked for, and asks for
  /// the next.
  struct Replies : ReactorSocket {
    explicit Replies(Client& c)
        : ReactorSocket(c.loop.reactor_, c.connection.lookups->fd(), c.loop.replies_, arrived, Wanted::bytes),
          client(c) {
      c.connection.lookups->join(transfer());
    }
    static bool arrived(ReadyHandler& self) {
      Client& client = static_cast<Replies&>(self).client;
      if (client.connection.lookups->receive_and_count(client.loop.reply_) &&
          !client.connection.lookups->ask())
        client.watch();
      return true;
    }
    Client& client;
  };

  Client(IngestLoop& l, ServedConnection c)
      : ReactorSocket(l.reactor_, c.socket.get(), l.clients_, readable, wanted_of(c)),
        loop(l),
        connection(std::move(c)) {
    connection.transfer = transfer();
    if (connection.lookups) replies = std::make_unique<Replies>(*this);
  }

  static bool readable(ReadyHandler& self) {
    auto& client = static_cast<Client&>(self);
    IngestLoop& loop = client.loop;
    if (client.connection.waits()) return client.pause();
    if (receive_ready(client.connection, loop.stream_, loop.worker_, loop.buffer_) == Arrived::the_end)
      delete &client;  // closes the socket, and so ends its registration
    else if (client.connection.waits())
      client.connection.lookups->ask();
    return true;
  }

  IngestLoop& loop;
  ServedConnection connection;
  std::unique_ptr<Replies> replies;
};

bool IngestLoop::Listening::arrived(ReadyHandler& self) {
  static_cast<Listening&>(self).loop.accept_some(kAcceptsAtOnce);
  return true;
}

bool IngestLoop::Stopping::stopped(ReadyHandler& self) {
  static_cast<Stopping&>(self).loop.stopped_ = true;
  return false;
}

IngestLoop::IngestLoop(IngestStream const& stream, int worker, Io io)
    : stream_(stream),
      worker_(worker),
      acceptor_(stream),
      reactor_(io, ring_buffers(stream)),
      listening_(*this),
      stopping_(*this) {
  reactor_.add(acceptor_.fd(), listening_);
  reactor_.add(stream_.stop_fd(), stopping_);
}

IngestLoop::~IngestLoop() {
  while (clients_.first() != nullptr) delete static_cast<Client*>(clients_.first());
}

void IngestLoop::run() {
  StopOnFailure const stop_others(stream_);
  stream_.listening();
  while (!stopped_) reactor_.run_once(std::nullopt);
  drain();
}

void IngestLoop::accept_some(int most) {
  for (int i = 0; i < most; ++i) {
    OwnedFd connection = acceptor_.accept();
    if (connection.get() < 0) return;
    // In the list, which owns it.
    new Client(*this, {.socket = std::move(connection), .lookups = lookups_of(stream_, worker_, true)});
  }
}

/// What has been received by now is counted, also from connections that are not yet accepted.
void IngestLoop::drain() {
  accept_some(acceptor_.waiting());
  acceptor_.close();
  while (clients_.first() != nullptr) {
    auto* const client = static_cast<Client*>(clients_.first());
    receive_last(client->connection, stream_, worker_, buffer_);
    delete client;
  }
}

}  // namespace tally
