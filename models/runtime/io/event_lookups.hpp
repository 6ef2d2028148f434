// The events of a connection to the `ingest` stream that wait for the lookup service.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "models/runtime/io/connection.hpp"
#include "workloads/ingest/ingest_stream.hpp"

namespace tally {

/// A connection to the lookup service for one connection's events, which are looked up one after another, so
/// that no more events wait at once than there are connections, and each connection's are counted in their
/// order. While some wait, their connection is not to be read: who sends then waits.
class EventLookups {
 public:
  /// Connects, in blocking mode or not. The stream must have lookups, and outlive this. Throws LookupFailed.
  EventLookups(IngestStream const& stream, int worker, bool non_blocking);

  /// Readable when a reply has come.
  int fd() const noexcept { return connection_.fd(); }
  /// From now on it is sent and received by `transfer`, which must outlive that.
  void join(Transfer transfer) noexcept { connection_.join(transfer); }
  /// Takes the events in `bytes`, which the connection sent after what it sent before. In blocking mode, asks
  /// for each and counts it; otherwise they are then to be asked for. Throws as
  /// receive_and_count() does.
  void take(std::string_view bytes, LineRest& rest);
  /// Whether events wait.
  bool any() const noexcept { return next_ < events_.size(); }
  /// Asks for the next event's key. False if there is none. Throws LookupFailed.
  bool ask();
  /// Receives what is there: the whole reply, once all of it has come (a view into `buffer`), else empty.
  /// Throws LookupFailed.
  std::span<char const> receive(ReceiveBuffer& buffer);
  /// Counts the event that was asked for, by its reply, into the tally of `worker`. Throws as
  /// IngestStream::count_looked_up() does.
  void count(std::span<char const> reply, int worker);
  /// receive(), and once that is the whole reply, count(): true.
  bool receive_and_count(ReceiveBuffer& buffer);
  /// The same of what has been `received` in another way.
  bool take_and_count(Received const& received, ReceiveBuffer& buffer);

 private:
  std::span<char const> checked(std::span<char const> reply) const;
  bool count_if_whole(std::span<char const> reply);

  IngestStream const& stream_;
  int worker_;
  bool non_blocking_;
  Connection connection_;
  std::vector<PendingEvent> events_;
  std::size_t next_ = 0;  // of events_, the one that is asked for or comes next
};

}  // namespace tally
