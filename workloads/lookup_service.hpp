// The lookup service: answers RESP2 GET after a delay drawn, per event, from the seed. A process of its own.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include "workloads/synthetic.hpp"

namespace tally {

enum class WaitDistribution : int { exponential, fixed, lognormal };

inline constexpr std::array<std::pair<std::string_view, WaitDistribution>, 3> kWaitDistributions{
    {{"exponential", WaitDistribution::exponential},
     {"fixed", WaitDistribution::fixed},
     {"lognormal", WaitDistribution::lognormal}}};
constexpr std::string_view name_of(WaitDistribution distribution) noexcept {
  for (auto const& [name, known] : kWaitDistributions)
    if (known == distribution) return name;
  return "unknown";
}

/// How long the service takes to answer: `mean` on average. Lognormal has sigma 1 (p99 / median about 10).
struct WaitSpec {
  std::chrono::nanoseconds mean{0};
  WaitDistribution distribution = WaitDistribution::exponential;
};

/// The wait of event `event`: depends on the seed, the event and the spec alone.
std::chrono::nanoseconds draw_wait(WaitSpec const& spec, std::uint64_t seed, std::uint64_t event) noexcept;

/// The time within which `percent` of waits are over, in mean waits. `percent` in (0, 100).
double wait_quantile(WaitDistribution distribution, double percent) noexcept;

/// The service's face to the harness, in memory that both processes map (MAP_SHARED | MAP_ANONYMOUS, zeroed,
/// made before the fork). The harness sets the wait between samples, when no request is under way; the
/// service keeps the rest.
struct ServiceControl {
  std::atomic<std::int64_t> wait_ns;       ///< WaitSpec::mean
  std::atomic<int> distribution;           ///< WaitSpec::distribution
  std::atomic<std::uint64_t> requests;     ///< GETs received, ever
  std::atomic<std::uint64_t> replies;      ///< GETs answered, ever
  std::atomic<std::uint64_t> connections;  ///< open now
  std::atomic<std::int64_t> busy_ns;       ///< time spent working, ever: not spinning, not asleep
  /// How late replies were sent after they were due: bucket b counts lateness in [b, b+1) * kLatenessStep;
  /// the last bucket takes all that is later.
  static constexpr std::chrono::nanoseconds kLatenessStep{5000};
  static constexpr int kLatenessBuckets = 2001;
  std::atomic<std::uint64_t> lateness[kLatenessBuckets];
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
};

struct ServiceConfig {
  KeySpec keys;
  std::uint16_t port = 0;  ///< 0: any free one
  bool spin = false;       ///< spin while a client is connected: with a CPU of its own, for replies on time
};

/// A listening socket on IPv4 loopback. Throws std::system_error that names the port (in use, say).
/// The caller owns the descriptor.
int listen_on_loopback(std::uint16_t port);
/// The port that a listening socket got.
std::uint16_t local_port(int listening_socket);

/// Serves on `listening_socket` until `stop_fd` becomes readable or is closed at its other end (-1: for
/// ever). Does not return early for anything that a client does. `control` belongs to the caller and outlives
/// the call.
void serve_lookups(ServiceConfig const& config, int listening_socket, int stop_fd, ServiceControl& control);

}  // namespace tally
