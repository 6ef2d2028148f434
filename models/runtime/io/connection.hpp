// A client's connection to the lookup service, blocking or not.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "models/runtime/io/reactor.hpp"
#include "workloads/stream.hpp"

namespace tally {

/// A connected TCP socket without delay (TCP_NODELAY), closed by reset when it goes: thousands of connections
/// a sample would otherwise hold their ports for a minute each. Owns the descriptor.
class Socket {
 public:
  Socket() = default;
  /// Connects and greets, blocking: on return the connection is ready for its first request. Throws
  /// LookupFailed naming the address and why not.
  static Socket connect(LookupTarget const& target);
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();
  int fd() const noexcept { return fd_; }
  /// From now on recv and send return at once.
  void set_non_blocking();

 private:
  explicit Socket(int fd) : fd_(fd) {}
  void greet(LookupTarget const& target);
  int fd_ = -1;
};

/// Where recv puts its bytes before they are looked at. A worker's connections share one: it holds nothing
/// between calls, and a buffer in each connection would be memory per event in flight.
using ReceiveBuffer = std::array<char, LookupStream::kMaxReplyBytes>;

/// One request and its reply at a time over a socket.
class Connection {
 public:
  explicit Connection(Socket socket) : socket_(std::move(socket)) {}
  int fd() const noexcept { return socket_.fd(); }

  /// From now on `handler` is told by `reactor` when there is something to receive, and what is sent and
  /// received goes by it; both must outlive that. Throws std::system_error.
  void join(Reactor& reactor, ReadyHandler& handler) {
    transfer_ = reactor.add(fd(), handler, Wanted::bytes);
  }
  /// The same where the socket has been added for bytes already: by `transfer`.
  void join(Transfer transfer) noexcept { transfer_ = transfer; }

  /// Sends the request of `event`. A request is short and the only one under way, so the socket has room for
  /// it; should it not, this waits until it has. Throws LookupFailed if the service has gone.
  void send(LookupStream const& stream, std::uint64_t event);
  /// Receives what is there: the whole reply, once all of it has come (a view into `buffer`), else empty. On
  /// a blocking socket this waits for some bytes. Throws LookupFailed if the service has closed or what comes
  /// is no reply.
  std::span<char const> receive(LookupStream const& stream, ReceiveBuffer& buffer);
  /// The same of what has been `received` in another way, or at `buffer`, behind what is left of an earlier
  /// piece. The reply is a view into either.
  std::span<char const> take(LookupStream const& stream, Received const& received, ReceiveBuffer& buffer);

 private:
  Socket socket_;
  Transfer transfer_;
  std::string partial_;  // of a reply that came in pieces: rare, so empty
};

/// A connection on which an event is looked up from beginning to end.
class BlockingConnection {
 public:
  /// Connects. Throws LookupFailed.
  explicit BlockingConnection(LookupTarget const& target) : connection_(Socket::connect(target)) {}
  /// Asks for `event`, waits for the answer and counts it. Throws LookupFailed.
  void look_up(LookupStream const& stream, std::uint64_t event, Counts& tally);

 private:
  Connection connection_;
};

/// A connected socket that does not block. Throws LookupFailed.
Connection connect_non_blocking(LookupTarget const& target);

/// How many of `in_flight` connections worker `worker` of `workers` has: they differ by at most one.
int share_of_in_flight(int in_flight, int workers, int worker) noexcept;

}  // namespace tally
