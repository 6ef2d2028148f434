// Sends a schedule of events over TCP connections, on time, whether the server keeps up or not.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "workloads/counting/latency_histogram.hpp"
#include "workloads/ingest/load_schedule.hpp"
#include "workloads/base/service_address.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {

/// A generator whose sends are later (p99) is no clock to measure by.
inline constexpr double kGeneratorOnTime_s = 0.2e-3;

/// A connection could not be made, or the server ended it. what() says which, and why as far as that is
/// known.
struct LoadFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a load generator did. Plain memory, which processes may share; zeroed at first.
struct LoadAccount {
  std::uint64_t events;  ///< handed to the kernel
  std::uint64_t bytes;
  std::uint64_t sends;        ///< system calls that sent something
  std::uint64_t waits;        ///< how often a connection would take no more: the server made its sender wait
  std::int64_t began_ns;      ///< steady clock: the schedule's beginning
  std::int64_t last_sent_ns;  ///< steady clock: when the last event was handed over
  std::int64_t last_due_ns;   ///< steady clock: when that was due; at no rate, as last_sent_ns
  LatencyHistogram lateness;  ///< of each event at a rate: from when it was due until it was sent
  /// Events a second: of the schedule, had it been kept, and as it was.
  double offered_per_s() const noexcept;
  double achieved_per_s() const noexcept;
};

/// The senders of a schedule, all on one thread, which has to have a CPU of its own to be on time.
///
/// Open loop: no event waits for another's fate, but for those that a server keeps from entering their own
/// connection by not reading; these are sent as soon as it does, and are late. Nothing is left out.
class LoadGenerator {
 public:
  /// `account` stays the caller's, and outlives this. If it may not `spin`, it sleeps until events are due,
  /// and is as late as the kernel wakes it. Throws LoadFailed.
  LoadGenerator(LoadSchedule const& schedule, ServiceAddress const& server, LoadAccount& account,
                bool spin = true);

  /// Makes all connections, one after the other. Throws LoadFailed.
  void connect();
  /// Sends the whole schedule, which begins at `begin`, and ends its side of the connections. Throws
  /// LoadFailed.
  void send(std::chrono::steady_clock::time_point begin);
  /// Waits until the server has ended its side too, and so has read all that was sent.
  void wait_for_end();

 private:
  struct Sender {
    OwnedFd socket;
    bool blocked = false;        ///< the socket would take no more
    std::uint64_t next_run = 0;  ///< of this connection's, the first that was not begun
    std::string unsent;          ///< of a run that was begun (at a rate)
    std::size_t sent = 0;        ///< bytes of `next_run` that were sent (at no rate)
  };

  /// Ends the connection's sending side if it has sent all that it will: a server that serves one connection
  /// at a time waits for that before it reads the next.
  void end_if_done(Sender& sender) noexcept;
  void send_at_rate();
  void send_run(Sender& sender, std::int64_t now_ns);
  void send_as_taken();
  bool send_text(Sender& sender);
  bool hand_over(Sender& sender, char const* bytes, std::size_t size, std::size_t& taken);
  template <class Unblocked>
  void wait_for_room(std::optional<std::chrono::nanoseconds> timeout, Unblocked&& unblocked);
  [[noreturn]] void lost(Sender const& sender, int error) const;

  LoadSchedule const& schedule_;
  ServiceAddress server_;
  LoadAccount& account_;
  bool spin_;
  std::vector<Sender> senders_;
  OwnedFd epoll_;
  std::uint64_t runs_passed_ = 0;  ///< runs whose time has come
  std::size_t blocked_ = 0;        ///< senders that are
  std::string line_buffer_;
};

}  // namespace tally
