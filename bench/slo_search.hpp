// The highest rate of arrivals at which a model keeps a latency.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/defaults.hpp"

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

/// What was measured at a rate.
struct SloProbe {
  double rate_per_s = 0;  ///< offered
  std::uint64_t events = 0;
  bool longer = false;                ///< a verification
  std::optional<double> latency_s{};  ///< the objective's percentile, corrected; none if the sample failed
  bool saturated = false;             ///< fell behind the rate
  bool generator_late = false;        ///< the generator was late, and not because the server made it wait
  std::string failure{};              ///< of the sample
  bool kept = false;                  ///< the objective
};

/// How near a search comes to the highest rate: it lies below the answer times this.
inline constexpr double kSearchResolution = 1.05;

/// Measures at a rate, for some time or, to verify, for longer.
using SloMeasure = std::function<SloProbe(double rate_per_s, bool longer)>;

/// What a search found.
struct SloAnswer {
  std::optional<double>
      rate_per_s{};  ///< the highest that kept the objective, verified; none if there is none
  /// The next higher rate was more than the generator could send on time: the model may keep more.
  bool generator_limited = false;
  std::vector<SloProbe> probes;  ///< in order of time
};

/// Bisects rates, whose ratios matter, until the highest that keeps the objective is known to 5%; then
/// verifies it with a longer measurement, and goes lower, ever faster, until one holds. Begins at
/// `first_per_s`. A rate counts as too high, or as not holding, when it is so twice, since a stall of the
/// machine says nothing of the model. Rates have three digits. Finds none below 100 events a second. Throws
/// what `measure` throws.
SloAnswer find_highest_rate(SloMeasure const& measure, double first_per_s);

}  // namespace tally
