#include "bench/campaign/rate_search.hpp"

#include <algorithm>
#include <chrono>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/slo_answer.hpp"
#include "bench/base/units.hpp"
#include "bench/campaign/event_numbers.hpp"
#include "bench/campaign/slo_search.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/plan/slo.hpp"
#include "bench/sampling/cell_sample.hpp"

namespace tally {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr double kOfTimeout = 0.7;

double length_s(RunOptions const& options, double rate_per_s, bool longer) {
  RatedLengths const& lengths = options.rated_lengths;
  // As much longer or shorter as samples are to be.
  double const scale = Seconds(options.sample_length) / Seconds(defaults::kSampleLength);
  auto const scaled_s = [&](std::chrono::nanoseconds length) { return scale * Seconds(length).count(); };
  if (!longer)
    return std::clamp(lengths.probe_events / rate_per_s, scaled_s(lengths.probe_least),
                      scaled_s(lengths.probe_most));
  // Numbers of events are cut to two digits, by up to a tenth.
  double const needed_s = 1.1 * static_cast<double>(latencies_needed(options.slo->percent)) / rate_per_s;
  // A sample must be over before its time is.
  double const timeout_s = Seconds(options.sample_timeout).count();
  double most_s = Seconds(lengths.longer_most).count();
  if (timeout_s > 0) most_s = std::min(most_s, timeout_s * kOfTimeout);
  return std::clamp(needed_s, std::min(scaled_s(lengths.longer_least), most_s), most_s);
}

std::string spell_failure(Cell const& cell, std::string const& failure) {
  return "at " + format_scaled(cell.rate_per_s) + " events/s: " + failure;
}

}  // namespace

SloAnswer search_rate(Cell const& cell, RunOptions const& options, LocalSampler& local, Progress& progress) {
  Slo const& slo = *options.slo;
  auto const measure = [&](double rate_per_s, bool longer) {
    CellResult probed;
    probed.cell = cell;
    probed.cell.rate_per_s = rate_per_s;
    probed.cell.events = events_of_rate(probed.cell, length_s(options, rate_per_s, longer), options);
    progress.say((longer ? "verifying " : "trying ") + probed.cell.name());
    CellSample taken = local.sample(probed.cell);
    local.forget();
    SloProbe probe{.rate_per_s = rate_per_s, .events = probed.cell.events, .longer = longer};
    probe.failure = taken.sample.failure;
    // What takes too long is too high a rate; all else that goes wrong is a failure of the cell at any.
    if (!probe.failure.empty() && !taken.timed_out)
      throw SearchFailed(spell_failure(probed.cell, probe.failure));
    if (!probe.failure.empty()) return probe;
    probe.latency_s = Seconds(taken.corrected->at_percentile(slo.percent)).count();
    probed.samples.push_back(std::move(taken.sample));
    probe.saturated = is_saturated(probed);
    probe.generator_late = generator_is_late(probed);
    probe.kept = !probe.saturated && *probe.latency_s <= Seconds(slo.latency).count();
    return probe;
  };
  Cell unrated = cell;
  unrated.rate_per_s = 0;
  return find_highest_rate(measure, pilot_rate(unrated, options, local, progress).value_or(0) / 2);
}

}  // namespace tally
