// The highest rate of arrivals at which a model keeps a latency, and how it was found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tally {

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

/// What a search found.
struct SloAnswer {
  std::optional<double>
      rate_per_s{};  ///< the highest that kept the objective, verified; none if there is none
  /// The next higher rate was more than the generator could send on time: the model may keep more.
  bool generator_limited = false;
  std::vector<SloProbe> probes;  ///< in order of time
};

}  // namespace tally
