// The `ingest` stream: events that arrive over TCP as lines, from senders that keep a time of their own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "workloads/counting/counts.hpp"
#include "workloads/counting/latency_histogram.hpp"
#include "workloads/ingest/live_tally.hpp"
#include "workloads/base/service_address.hpp"
#include "workloads/stream.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {

/// What a server is to do with what arrives.
struct IngestSpec {
  ServiceAddress address{};  ///< where to listen; port 0: any free one
  int workers = 1;           ///< tallies to make; >= 1
  LineRules rules{};
  std::uint64_t connections = 0;  ///< serve so many, and stop when all have ended; 0: until stop() is called
  std::uint64_t connections_max = UINT64_MAX;  ///< at once; further ones are refused
  /// Whom to ask for the key of each event before it is counted, and how; null: lines have the keys
  /// themselves. Must outlive the stream.
  LookupStream const* lookups = nullptr;
  bool counts_stay = false;  ///< in the tallies, for another process to take: counts() then gives none
};

/// What processes on both sides of the sockets tell each other, in memory that they share. Zeroed at first.
struct IngestControl {
  std::atomic<std::uint32_t> listening;  ///< workers that accept connections
  std::atomic<std::uint64_t> opened;     ///< connections accepted, ever
  std::atomic<std::uint64_t> served;     ///< of these, those that whoever reads them has stood ready for
  std::atomic<std::uint64_t> ended;      ///< of these, those that have ended
  std::atomic<std::uint64_t> broken;     ///< of these, those that ended by a reset or another error
  std::atomic<std::uint64_t> refused;    ///< connections accepted only to be told that there is no room
  std::atomic<std::int64_t> began_ns;    ///< steady clock: when the schedule began; 0 before
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
};

/// Events that arrive over TCP: what models serve. It counts, into a tally for each worker; accepting,
/// waiting and reading are theirs. Made before the processes that use it are forked: what it holds is shared
/// by all of them, so that counts are read where they are, whoever made them.
class IngestStream {
 public:
  /// Reserves the port. Throws std::system_error that names it (in use, not allowed), or says what else is
  /// missing.
  explicit IngestStream(IngestSpec const& spec);
  ~IngestStream();
  IngestStream(IngestStream const&) = delete;
  IngestStream& operator=(IngestStream const&) = delete;

  /// Where clients connect.
  ServiceAddress address() const noexcept { return spec_.address; }
  /// Gives up the port that was reserved, so that a program of its own, which may know nothing of
  /// SO_REUSEPORT, can have it: then listen() is for nobody. Until then, or after, another may take it.
  void release_port() noexcept { reserved_.reset(); }
  int workers() const noexcept { return spec_.workers; }
  /// CPU time that counting an event takes beside the counting.
  std::chrono::nanoseconds grain() const noexcept { return spec_.rules.grain.duration; }

  /// Longer lines are malformed.
  std::size_t line_max() const noexcept { return spec_.rules.line_max; }

  /// Another socket that listens there, beside those of other workers: the kernel spreads connections over
  /// them (SO_REUSEPORT, socket(7)). It does not block. The caller owns the descriptor. Throws
  /// std::system_error.
  int listen() const;
  /// One more worker accepts connections.
  void listening() const noexcept { control_->listening.fetch_add(1, std::memory_order_release); }
  /// Readable, for every process that has it, from when there is nothing more to accept: what has been
  /// received by then is still to be read, and then to be left.
  int stop_fd() const noexcept { return stop_.get(); }
  /// Makes stop_fd() readable. From any process, and from signal handlers.
  void stop() const noexcept;
  bool stopped() const noexcept;

  /// A connection was accepted. False if there are too many: then it is to be refused, and counts as such.
  bool open() const noexcept;
  /// Whoever reads an accepted connection stands ready to. The load generator waits for that, so that
  /// starting threads, say, is in no sample's time.
  void serving() const noexcept { control_->served.fetch_add(1, std::memory_order_release); }
  /// A connection that was open()ed cannot be served after all, and is to be refused.
  void reject() const noexcept;
  /// The connection is to be refused for another reason, such as that there are no more descriptors.
  void refuse() const noexcept { control_->refused.fetch_add(1, std::memory_order_relaxed); }

  /// Counts what a connection sent: `bytes` after what it sent before. kReadAheadBytes beyond must be
  /// readable. Throws TallyLost, std::bad_alloc.
  void receive(int worker, std::string_view bytes, LineRest& rest) const;
  /// How the keys of events are looked up; null if lines have the keys themselves: then receive() is for
  /// them, else read() and count_looked_up().
  LookupStream const* lookups() const noexcept { return spec_.lookups; }
  /// Reads what a connection sent, as receive() does, but appends its events to `events` instead of counting
  /// them.
  void read(int worker, std::string_view bytes, LineRest& rest, std::vector<PendingEvent>& events) const;
  /// Counts an event that read() gave, by the whole reply to its lookup. Throws LookupFailed if there is no
  /// key in it, and as receive() does.
  void count_looked_up(int worker, PendingEvent const& event, std::span<char const> reply) const;
  /// An accepted connection has ended, `broken` or not; stops the stream if it was the last that is waited
  /// for.
  void end(int worker, LineRest& rest, bool broken = false) const;

  /// When the schedule of what is sent began; the epoch if it has not.
  std::chrono::steady_clock::time_point began() const noexcept;
  /// Everything that was counted, merged, and forgotten by the tallies: windows by their start in
  /// nanoseconds. Nothing if counts stay where they are.
  Counts counts() const;

  IngestControl& control() const noexcept { return *control_; }
  LiveTally& tally(int worker) const noexcept { return *tallies_[static_cast<std::size_t>(worker)]; }
  /// Corrected and uncorrected latencies of all workers so far.
  void add_latencies(LatencyHistogram& corrected, LatencyHistogram& uncorrected) const;

 private:
  IngestSpec spec_;
  IngestControl* control_ = nullptr;
  OwnedFd reserved_;  ///< bound, not listening
  OwnedFd stop_;
  std::vector<LiveTally::Owner> tallies_;
};

}  // namespace tally
