#include "bench/rate_search.hpp"

#include <algorithm>
#include <chrono>

#include "bench/campaign.hpp"
#include "bench/event_numbers.hpp"
#include "bench/units.hpp"

namespace tally {
namespace {

constexpr double kShort_s = 0.5, kShortMost_s = 5, kShortEvents = 4'000;
constexpr double kLong_s = 3, kLongMost_s = 30;

double length_s(Slo const& slo, double rate_per_s, bool longer) {
  if (!longer) return std::clamp(kShortEvents / rate_per_s, kShort_s, kShortMost_s);
  return std::clamp(static_cast<double>(latencies_needed(slo.percent)) / rate_per_s, kLong_s, kLongMost_s);
}

}  // namespace

SloAnswer search_rate(Cell const& cell, RunOptions const& options, Streams& streams, CellRunner& runner,
                      Progress& progress) {
  Slo const& slo = *options.slo;
  auto const measure = [&](double rate_per_s, bool longer) {
    CellResult probed;
    probed.cell = cell;
    probed.cell.rate_per_s = rate_per_s;
    probed.cell.events = events_of_rate(probed.cell, length_s(slo, rate_per_s, longer), options);
    progress.say((longer ? "verifying " : "trying ") + probed.cell.name());
    CellSample taken = runner.run(probed.cell, streams.workload(probed.cell), streams);
    streams.forget();
    SloProbe probe{.rate_per_s = rate_per_s, .events = probed.cell.events, .longer = longer};
    probe.failure = taken.sample.failure;
    if (!probe.failure.empty()) return probe;
    LoadFigures const load = *taken.sample.load;
    probe.latency_s = std::chrono::duration<double>(taken.corrected->at_percentile(slo.percent)).count();
    probed.samples.push_back(std::move(taken.sample));
    probe.saturated = is_saturated(probed);
    probe.generator_late = load.late_p99_s > kGeneratorOnTime_s && load.waits == 0;
    probe.kept = !probe.saturated && *probe.latency_s <= std::chrono::duration<double>(slo.latency).count();
    return probe;
  };
  Cell unrated = cell;
  unrated.rate_per_s = 0;
  return find_highest_rate(measure, pilot_rate(unrated, options, streams, runner, progress).value_or(0) / 2);
}

}  // namespace tally
