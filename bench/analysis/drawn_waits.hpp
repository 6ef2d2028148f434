// What the waits of a sample were, as drawn, and what it would have shown in the long run.
#pragma once

#include <cstdint>

#include "workloads/lookup/lookup_wait.hpp"

namespace tally {

/// The waits of the events of one sample of the lookup stream, of which `in_flight` at a time wait. They are
/// known, since they depend on the seed and the event alone: how far their sum is from what so many waits are
/// on average, and how long the last of them take when there is nothing left to begin. Both fall on every
/// model alike, and both vanish in a long sample.
class DrawnWaits {
 public:
  /// `events` and `in_flight` >= 1. Takes time in proportion to the events.
  DrawnWaits(WaitSpec const& wait, std::uint64_t seed, std::uint64_t events, int in_flight);

  /// By how many seconds the sample takes longer (or shorter, below 0) than events / `items_per_second`, the
  /// throughput in the long run. Where a CPU is full, waits are hidden behind it and add nothing.
  double added_s(double items_per_second) const noexcept;
  /// The throughput in the long run of what had `items_per_second` in the sample; at most three times as
  /// much.
  double in_long_run(double items_per_second) const noexcept;

 private:
  double events_, in_flight_, mean_s_;
  double luck_s_;   // the sum of the waits over those in flight, beyond its mean
  double drain_s_;  // how much longer than that sum the waits alone take
};

/// How many mean waits it takes, about, until the last of `waiting` is over that wait at once; less the one
/// that any of them takes. At an end of a sample nothing is done for so long but to wait.
double drain_in_waits(WaitDistribution distribution, double waiting);

}  // namespace tally
