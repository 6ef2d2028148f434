// What `limit` runs over a ring of io_uring in place of epoll: nothing between the ring and the counting.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

#include "models/runtime/event_cursor.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/io/uring.hpp"

namespace tally {

/// One worker's connections to the lookup service. On one thread from run() on.
class BareRingLoop {
 public:
  /// Connects. The stream must outlive the loop. Throws LookupFailed, std::system_error.
  BareRingLoop(LookupStream const& stream, int connections);
  /// Looks up what `cursor` gives, until there is no more. Throws as the constructor does.
  void run(EventCursor& cursor, Counts& tally);

 private:
  struct Slot {
    explicit Slot(Connection&& c) : connection(std::move(c)) {}
    Connection connection;
    std::uint64_t event = 0;
    std::array<char, LookupStream::kMaxRequestBytes> request{};
  };
  void receive(Slot& slot);
  void ask(Slot& slot, EventCursor& cursor);

  LookupStream const& stream_;
  std::vector<Slot> slots_;
  std::size_t waiting_ = 0;
  ReceiveBuffer partial_;
  Uring ring_{kReplyBuffers};
};

/// One worker's connections to the `ingest` stream. On one thread from run() on.
class BareRingServer {
 public:
  /// Listens. The stream must outlive the server. Throws std::system_error.
  BareRingServer(IngestStream const& stream, int worker);
  /// Serves until the stream stops, and then what is already there. Throws as IngestStream::receive() does,
  /// LookupFailed and std::system_error.
  void run();

 private:
  struct Client {
    ServedConnection connection;
    int under_way = 0;  ///< requests of its own that the kernel has
    bool gone = false;  ///< goes when none is
    std::list<Client>::iterator place{};
  };
  void ask_for(std::uint64_t tag, int fd, bool bytes);
  void ask_for(Client& client, std::uint64_t kind);
  void cancel(Client& client, std::uint64_t kind);
  void complete(io_uring_cqe const& completion);
  void accept_some(int most);
  void received(Client& client, io_uring_cqe const& completion);
  void readable(Client& client);
  void replied(Client& client, io_uring_cqe const& completion);
  void leave(Client& client);
  void drain();

  IngestStream const& stream_;
  int worker_;
  Acceptor acceptor_;
  bool stopped_ = false;
  std::list<Client> clients_;
  ReadBuffer buffer_;
  ReceiveBuffer partial_;
  Uring ring_;
};

}  // namespace tally
