// A server's side of the `ingest` stream's sockets: accepting, and reading what is there.
#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <memory>

#include "models/model.hpp"
#include "models/runtime/io/event_lookups.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/io/uring.hpp"
#include "models/runtime/worker_threads.hpp"
#include "workloads/ingest/ingest_stream.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {

/// Where bytes are read to before they are counted. A worker's connections share one, or few, since nothing
/// stays in it: one in each would be 64 KiB of memory for each.
struct ReadBuffer {
  static constexpr std::size_t kBytes = 64 * 1024;
  alignas(64) std::array<char, kBytes + kReadAheadBytes> bytes;
};

/// A connection that was accepted.
struct ServedConnection {
  OwnedFd socket{};
  LineRest rest{};
  std::unique_ptr<EventLookups> lookups{};  ///< null if events are counted as they come
  Transfer transfer{};                      ///< how its bytes come

  /// Whether events that it sent wait to be looked up: then it is not to be read.
  bool waits() const noexcept { return lookups != nullptr && lookups->any(); }
};

/// What a connection's events are to be looked up by, waiting for replies or not; null if they are not.
/// Throws LookupFailed.
std::unique_ptr<EventLookups> lookups_of(IngestStream const& stream, int worker, bool non_blocking);

/// What a ring receives into for such a stream.
ReceiveBuffers const* ring_buffers(IngestStream const& stream) noexcept;

/// What connections' sockets want of a reactor: a ring receives what comes ahead, but not from those whose
/// events are looked up. These are not to be read while some wait, or who sends would not wait too.
Wanted wanted_of(ServedConnection const& connection) noexcept;

/// A socket that listens, beside those of other workers.
class Acceptor {
 public:
  /// Listens. Throws std::system_error.
  explicit Acceptor(IngestStream const& stream);
  int fd() const noexcept { return socket_.get(); }
  /// The next connection that waits to be accepted, which the caller serves from now on; none if there is
  /// none. It does not block. Refuses those that there is no room for, with a line that says so: some, and
  /// then gives none, so that others have their turn. Throws std::system_error if the socket is no more.
  OwnedFd accept();
  /// The same of one that another thread serves, which calls IngestStream::serving() when it stands ready to.
  OwnedFd accept_for_thread();
  /// How many connections wait to be accepted at this moment.
  int waiting() const noexcept;
  /// Refuses a connection that accept() gave: there are not the means to serve it.
  void reject(OwnedFd connection, char const* why) const;
  /// Listens no more; connections that wait to be accepted are lost.
  void close() noexcept { socket_.reset(); }

 private:
  static void refuse(OwnedFd connection, char const* why);
  bool refuse_with_spare();
  IngestStream const& stream_;
  OwnedFd socket_;
  OwnedFd spare_;  // given up to accept, and refuse, a connection when descriptors have run out
};

/// Connections accepted before those that are there have their turn.
inline constexpr int kAcceptsAtOnce = 64;

/// What there was to read.
enum class Arrived {
  more,     ///< and there may be more at once
  all,      ///< all that was there
  the_end,  ///< of the connection; the stream has been told
};

/// How often a connection is read before others have their turn.
inline constexpr int kReadsAtOnce = 16;

/// Reads what is there, not blocking, and counts it into `worker`'s tally, until there is no more, or
/// kReadsAtOnce times. Where lookups do not block, until there are events to look up, which are then the
/// caller's to ask for. Throws as IngestStream::receive() does, and LookupFailed.
Arrived receive_ready(ServedConnection& connection, IngestStream const& stream, int worker,
                      ReadBuffer& buffer);

/// Counts what there is to be read at this moment, and ends the connection, however much more its sender
/// would send: for when the stream has stopped. Where events are looked up, nothing is counted: such a stream
/// is stopped before its end only when its counts are of no use.
void receive_last(ServedConnection& connection, IngestStream const& stream, int worker, ReadBuffer& buffer);

/// Stops the stream where a worker's scope is left by an exception: the others would serve on without it.
class StopOnFailure {
 public:
  explicit StopOnFailure(IngestStream const& stream) noexcept
      : stream_(stream), exceptions_before_(std::uncaught_exceptions()) {}
  ~StopOnFailure() {
    if (std::uncaught_exceptions() > exceptions_before_) stream_.stop();
  }
  StopOnFailure(StopOnFailure const&) = delete;
  StopOnFailure& operator=(StopOnFailure const&) = delete;

 private:
  IngestStream const& stream_;
  int exceptions_before_;
};

/// Lets the workers serve until the stream stops; then merges what was counted. The watch runs from when the
/// senders began. Throws the first failure.
Counts serve_with(WorkerThreads& threads, IngestStream const& stream, Stopwatch& watch);

/// What remains when all workers have ended: sets the watch to when the senders began, and stops it when the
/// counts are merged.
Counts merged_counts(IngestStream const& stream, Stopwatch& watch);

}  // namespace tally
