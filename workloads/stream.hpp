// The seam between what is counted and how: a stream counts, a model schedules.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/counting/counts.hpp"
#include "workloads/base/service_address.hpp"

namespace tally {

/// Adjacent events of a stream, as positions [begin, end): event numbers, or byte offsets cut at line ends.
struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool empty() const noexcept { return begin == end; }
  friend bool operator==(Range const&, Range const&) = default;
};

/// A stream whose events need the CPU alone: `cpu`. Immutable; every function may be called from any thread.
class CpuStream {
 public:
  virtual ~CpuStream() = default;

  /// Positions of the whole stream: [0, size()).
  virtual std::uint64_t size() const noexcept = 0;
  /// Empty counts of this stream's kind.
  virtual Counts empty_tally() const = 0;
  /// How many windows its dense counts come to have at most; 0 of other counts, or where it is not known.
  virtual std::uint64_t windows() const noexcept { return 0; }
  /// Does the work of the events in `range` and counts them into `tally`, as one task. `range` begins where a
  /// batch may begin (0, or the end of another range that the stream gave).
  virtual void count(Range range, Counts& tally) const = 0;
  /// The bytes of the events in `range`, where a message takes them to another process: so many; 0 where
  /// whoever counts finds them by itself, as in a file.
  virtual std::size_t message_bytes([[maybe_unused]] Range range) const { return 0; }
  /// Writes message_bytes(range) bytes to `out`, which is aligned as for any object.
  virtual void write_message([[maybe_unused]] Range range, [[maybe_unused]] std::byte* out) const {}
  /// As count(), of events that came as such bytes, `message`, aligned as they were written. They may go
  /// after this.
  virtual void count_message(Range range, [[maybe_unused]] std::span<std::byte const> message,
                             Counts& tally) const {
    count(range, tally);
  }
  /// Where the batch of about `events` events that begins at `begin` ends; at most size(), and after `begin`
  /// unless `begin` is size(). `events` >= 1.
  virtual std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept = 0;
  /// The stream cut into `parts` adjacent ranges of about equal work, some empty where there are fewer
  /// events.
  virtual std::vector<Range> split(std::size_t parts) const = 0;
};

/// In place of a number of events in a batch: as the model likes, `--batch auto`.
inline constexpr std::uint64_t kAutoBatch = 0;

/// Reads a stream once, in order, in batches: the one reader that a socket or a growing file would have.
class BatchReader {
 public:
  /// Reads batches of `batch` events, or, of kAutoBatch, batches that grow with what has been read: each is a
  /// small part of it, so that `workers` (>= 1) end together, and a long stream has some thousands. The
  /// stream must outlive the reader.
  BatchReader(CpuStream const& stream, std::uint64_t batch, int workers)
      : BatchReader(stream, {0, stream.size()}, batch, workers) {}
  /// Reads `part` of the stream alone, which begins and ends where a batch may.
  BatchReader(CpuStream const& stream, Range part, std::uint64_t batch, int workers)
      : stream_(stream),
        batch_(batch),
        share_(64 * static_cast<std::uint64_t>(workers)),
        end_(part.end),
        position_(part.begin) {}
  /// The next batch; empty (begin == end) when the stream, or its part, has ended.
  Range next() noexcept {
    if (position_ >= end_) return {end_, end_};
    std::uint64_t const events = batch_ == kAutoBatch ? grown() : batch_;
    std::uint64_t const batch_end = stream_.batch_end(position_, events);
    Range const range{position_, batch_end < end_ ? batch_end : end_};
    position_ = range.end;
    return range;
  }
  bool at_end() const noexcept { return position_ >= end_; }

 private:
  /// So much that what a model does with a batch is nothing beside it, and so little that another core's
  /// cache may hold it.
  static constexpr std::uint64_t kMostEvents = 1 << 20;
  std::uint64_t grown() noexcept {
    std::uint64_t const events = std::clamp<std::uint64_t>(read_ / share_, 1, kMostEvents);
    read_ += events;
    return events;
  }

  CpuStream const& stream_;
  std::uint64_t batch_;
  std::uint64_t share_;
  std::uint64_t end_;
  std::uint64_t position_;
  std::uint64_t read_ = 0;  // events, where batches grow
};

/// How many batches of `batch` events, not kAutoBatch, the stream has.
std::uint64_t batches_in(CpuStream const& stream, std::uint64_t batch) noexcept;

/// The stream cut into `parts` adjacent ranges of about equal size, each of whole batches of `batch` events
/// as a BatchReader gives them; some are empty where there are fewer batches. As stream.split() for
/// kAutoBatch.
std::vector<Range> split_at_batches(CpuStream const& stream, std::uint64_t batch, std::size_t parts);

/// The service that a lookup stream asks answered with an error, with something that is not the protocol or
/// not a key, or went away.
struct LookupFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A stream whose events each wait for an answer from the lookup service: `lookup`. The key that is counted
/// is in the reply. Immutable; every function may be called from any thread. It never blocks and does no I/O:
/// models do.
class LookupStream {
 public:
  virtual ~LookupStream() = default;

  /// Whom models connect to: a new connection is ready for requests once it was greeted (Socket::connect()).
  virtual LookupTarget const& service() const noexcept = 0;
  /// Number of events.
  virtual std::uint64_t events() const noexcept = 0;
  virtual Counts empty_tally() const = 0;
  /// How many windows its counts come to have at most; 0 where it is not known.
  virtual std::uint64_t windows() const noexcept { return 0; }
  /// CPU time that accept() takes beside the counting: whoever schedules may treat light and heavy work
  /// differently.
  virtual std::chrono::nanoseconds grain() const noexcept = 0;

  /// No request is longer.
  static constexpr std::size_t kMaxRequestBytes = 64;
  /// No reply is longer.
  static constexpr std::size_t kMaxReplyBytes = 64;

  /// Writes the request of `event` and returns its length in bytes.
  virtual std::size_t request(std::uint64_t event, std::span<char, kMaxRequestBytes> out) const noexcept = 0;
  /// The length of the whole reply that `received` begins with, or 0 if more bytes are needed. Throws
  /// LookupFailed if this cannot become an answer (an error reply, rubbish, longer than kMaxReplyBytes).
  virtual std::size_t reply_length(std::span<char const> received) const = 0;
  /// The key in `reply` (a whole one, as reply_length() found it) to `event`, in decimal: a view into
  /// `reply`. Throws LookupFailed if there is no valid key in it.
  virtual std::string_view key_in(std::uint64_t event, std::span<char const> reply) const = 0;
  /// Counts `event` by the key in `reply`, and does the grain's work. Throws as key_in() does.
  virtual void accept(std::uint64_t event, std::span<char const> reply, Counts& tally) const = 0;
  /// What sequential counting gives, without asking: the reference for verification.
  virtual Counts reference() const = 0;
};

}  // namespace tally
