// Measuring for `--slo`: the samples by which find_highest_rate() searches.
#pragma once

#include <stdexcept>

#include "bench/analysis/slo_answer.hpp"
#include "bench/output/progress.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/local_sampler.hpp"

namespace tally {

/// A sample of the search failed by something else than taking too long: what the message says, and at which
/// rate.
struct SearchFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The highest rate at which `cell`, of the `ingest` stream, keeps options.slo. A search begins at half of
/// what the cell takes at no rate, with samples of half a second or, at low rates, a few thousand events; the
/// answer is verified for three seconds at least, and as long as the percentile needs latencies
/// (latencies_needed()), half a minute at most. Throws
/// Interrupted, SearchFailed.
SloAnswer search_rate(Cell const& cell, RunOptions const& options, LocalSampler& local, Progress& progress);

}  // namespace tally
