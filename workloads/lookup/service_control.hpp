// How the lookup service is set up, steered and read from another process.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "workloads/events/key_generator.hpp"
#include "workloads/lookup/lookup_wait.hpp"

namespace tally {

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

}  // namespace tally
