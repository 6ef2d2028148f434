// How long this machine takes to wake a thread on another CPU.
#pragma once

#include <chrono>
#include <vector>

#include "bench/process/stop_signals.hpp"

namespace tally {

/// Wake-ups of a thread that waited, by one on another CPU: from before the call that wakes it until it reads
/// the clock.
struct WakeUps {
  std::vector<std::chrono::nanoseconds> took;  ///< in order of time

  /// The quantile `q` in [0, 1]; 0 without any.
  std::chrono::nanoseconds quantile(double q) const;
};

/// A thread on `sleeper_cpu` waits in the kernel; one on `waker_cpu`, which never sleeps, wakes it `times`
/// times, each `pause` after it was last awake: long enough for a CPU to fall asleep. Fewer times if a stop
/// signal comes. Throws std::system_error if there is no descriptor or thread.
WakeUps look_for_wake_ups(int waker_cpu, int sleeper_cpu, int times, std::chrono::nanoseconds pause,
                          StopSignals const& stop);

}  // namespace tally
