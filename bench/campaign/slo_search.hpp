// The highest rate of arrivals at which a model keeps a latency.
#pragma once

#include <functional>

#include "bench/analysis/slo_answer.hpp"

namespace tally {

/// Measures at a rate, for some time or, to verify, for longer.
using SloMeasure = std::function<SloProbe(double rate_per_s, bool longer)>;

/// Bisects rates, whose ratios matter, until the highest that keeps the objective is known to 5%; then
/// verifies it with a longer measurement, and goes lower, ever faster, until one holds. Begins at
/// `first_per_s`. A rate counts as too high, or as not holding, when it is so twice, since a stall of the
/// machine says nothing of the model. Rates have three digits. Finds none below 100 events a second. Throws
/// what `measure` throws.
SloAnswer find_highest_rate(SloMeasure const& measure, double first_per_s);

}  // namespace tally
