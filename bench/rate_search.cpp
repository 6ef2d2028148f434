#include "bench/rate_search.hpp"

#include <algorithm>
#include <chrono>

#include "bench/campaign.hpp"
#include "bench/event_numbers.hpp"
#include "bench/units.hpp"

namespace tally {
namespace {

/// How long a probe lasts, in samples of the length that is aimed at: 0.5 s to 5 s by default, and 3 s to
/// verify.
constexpr double kShort = 2.5, kShortMost = 25, kShortEvents = 4'000, kLong = 15;
constexpr double kLongMost_s = 30, kOfTimeout = 0.7;

double length_s(RunOptions const& options, double rate_per_s, bool longer) {
  double const sample_s = std::chrono::duration<double>(options.sample_length).count();
  if (!longer) return std::clamp(kShortEvents / rate_per_s, kShort * sample_s, kShortMost * sample_s);
  // Numbers of events are cut to two digits, by up to a tenth.
  double const needed_s = 1.1 * static_cast<double>(latencies_needed(options.slo->percent)) / rate_per_s;
  // A sample must be over before its time is.
  double const timeout_s = std::chrono::duration<double>(options.sample_timeout).count();
  double const most_s = timeout_s > 0 ? std::min(kLongMost_s, timeout_s * kOfTimeout) : kLongMost_s;
  return std::clamp(needed_s, std::min(kLong * sample_s, most_s), most_s);
}

std::string spell_failure(Cell const& cell, std::string const& failure) {
  return "at " + format_scaled(cell.rate_per_s) + " events/s: " + failure;
}

}  // namespace

SloAnswer search_rate(Cell const& cell, RunOptions const& options, Streams& streams, CellRunner& runner,
                      Progress& progress) {
  Slo const& slo = *options.slo;
  auto const measure = [&](double rate_per_s, bool longer) {
    CellResult probed;
    probed.cell = cell;
    probed.cell.rate_per_s = rate_per_s;
    probed.cell.events = events_of_rate(probed.cell, length_s(options, rate_per_s, longer), options);
    progress.say((longer ? "verifying " : "trying ") + probed.cell.name());
    CellSample taken = runner.run(probed.cell, streams.workload(probed.cell), streams);
    streams.forget();
    SloProbe probe{.rate_per_s = rate_per_s, .events = probed.cell.events, .longer = longer};
    probe.failure = taken.sample.failure;
    // What takes too long is too high a rate; all else that goes wrong is a failure of the cell at any.
    if (!probe.failure.empty() && !taken.timed_out)
      throw SearchFailed(spell_failure(probed.cell, probe.failure));
    if (!probe.failure.empty()) return probe;
    probe.latency_s = std::chrono::duration<double>(taken.corrected->at_percentile(slo.percent)).count();
    probed.samples.push_back(std::move(taken.sample));
    probe.saturated = is_saturated(probed);
    probe.generator_late = generator_is_late(probed);
    probe.kept = !probe.saturated && *probe.latency_s <= std::chrono::duration<double>(slo.latency).count();
    return probe;
  };
  Cell unrated = cell;
  unrated.rate_per_s = 0;
  return find_highest_rate(measure, pilot_rate(unrated, options, streams, runner, progress).value_or(0) / 2);
}

}  // namespace tally
