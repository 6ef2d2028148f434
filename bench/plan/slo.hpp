// A latency that is to be kept, and how long it is measured at a rate.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "bench/plan/defaults.hpp"

namespace tally {

/// A service-level objective: so many percent of all events are counted within a time from when they were to
/// be sent.
struct Slo {
  double percent = 99;
  std::chrono::nanoseconds latency{0};
};

/// `p99=5ms`, as on the command line.
std::string spell(Slo const& slo);
/// Reads what spell() writes, of a percentile from p1 to p99.99. Throws UsageError that begins with `flag`.
Slo parse_slo(std::string_view flag, std::string const& text);

/// How long it is measured at a rate. Tests that measure nothing do it for less.
struct RatedLengths {
  std::chrono::nanoseconds sample = defaults::kRatedSampleLength;  ///< of a cell, by its schedule
  /// Of a search: as long as `probe_events` take, within limits; and to verify, for as long as the percentile
  /// needs.
  double probe_events = 4'000;
  std::chrono::nanoseconds probe_least{std::chrono::milliseconds{500}}, probe_most{std::chrono::seconds{5}};
  std::chrono::nanoseconds longer_least{std::chrono::seconds{3}}, longer_most{std::chrono::seconds{30}};
};

}  // namespace tally
