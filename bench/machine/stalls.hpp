// How long the CPUs of this machine leave a thread alone that never sleeps.
#pragma once

#include <chrono>
#include <vector>

#include "bench/process/stop_signals.hpp"

namespace tally {

/// What threads saw that did nothing but read the clock.
struct Stalls {
  std::chrono::nanoseconds looked{0};          ///< all threads together
  std::vector<std::chrono::nanoseconds> gaps;  ///< between two readings, where over kLeastGap

  /// Shorter ones are the reading itself.
  static constexpr std::chrono::nanoseconds kLeastGap{2000};

  /// How late a thread that looks all the time sees an event that was due at a moment drawn from all of
  /// `looked`: the quantile `q` in (0, 1) of that lateness. No server, and no load generator, can be earlier.
  std::chrono::nanoseconds lateness(double q) const;
  /// The longest gap; 0 without any.
  std::chrono::nanoseconds longest() const;
};

/// Reads the clock for `span` on each of `cpus` at once. Less long if a stop signal comes. Throws
/// std::system_error if a thread cannot be started.
Stalls look_for_stalls(std::vector<int> const& cpus, std::chrono::nanoseconds span, StopSignals const& stop);

}  // namespace tally
