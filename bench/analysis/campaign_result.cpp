#include "bench/analysis/campaign_result.hpp"

#include <algorithm>
#include <cmath>

#include "bench/base/units.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/plan/defaults.hpp"
#include "workloads/base/clock.hpp"
#include "workloads/counting/grain.hpp"
#include "workloads/events/synthetic.hpp"
#include "workloads/ingest/load_generator.hpp"

namespace tally {
namespace {

/// A service busier than this is what was measured, not the model; the same share of a CPU, a wait or the
/// memory's bandwidth counts as all of it.
constexpr double kFull = 0.9;

/// By so much a bound may be exceeded before it is called wrong: what a link of a grain's chain takes is
/// known no better, since the reference computation runs beside other work than the cell does.
constexpr double kBoundKnownTo = 0.02;

bool has_figures(CellResult const& cell) { return cell.failure.empty() && !cell.samples.empty(); }

Sample const* in_round(CellResult const& cell, int round) {
  for (Sample const& sample : cell.samples)
    if (sample.round == round && sample.failure.empty()) return &sample;
  return nullptr;
}

std::optional<Interval> interval_of(std::vector<double> const& values, double confidence = kConfidence) {
  if (values.empty()) return std::nullopt;
  return median_interval(values, confidence);
}

/// Of each of `comparisons` at once, so that all of them hold with kConfidence (Bonferroni).
double corrected(std::size_t comparisons) {
  return 1 - (1 - kConfidence) / static_cast<double>(std::max<std::size_t>(1, comparisons));
}

/// The throughputs of `cell` over those of `base`, in the rounds that both have.
std::vector<double> ratios_by_round(CellResult const& cell, CellResult const& base) {
  std::vector<double> values;
  if (!has_figures(cell) || !has_figures(base)) return values;
  for (Sample const& sample : cell.samples)
    if (Sample const* const other = in_round(base, sample.round); other && other->events > 0)
      values.push_back(sample.items_per_second() / other->items_per_second());
  return values;
}

}  // namespace

std::string_view name(Closed closed) {
  switch (closed) {
    case Closed::open:
      return "open";
    case Closed::converged:
      return "converged";
    case Closed::rounds:
      return "rounds";
    case Closed::time_budget:
      return "time_budget";
    case Closed::interrupted:
      return "interrupted";
    case Closed::failed:
      return "failed";
    case Closed::no_rate:
      return "no_rate";
    case Closed::outrun:
      return "outrun";
    case Closed::team_lost:
      return "team_lost";
  }
  return "unknown";
}

std::optional<Interval> CellResult::throughput() const {
  if (!has_figures(*this)) return std::nullopt;
  std::vector<double> rates;
  for (Sample const& sample : samples) rates.push_back(sample.items_per_second());
  return median_interval(rates);
}

bool CellResult::converged(double ci) const {
  auto const interval = throughput();
  return interval && interval->holds() && interval->relative_half_width() <= ci;
}

std::optional<Interval> CellResult::long_run_throughput() const {
  auto rate = throughput();
  if (rate && drawn_waits)
    for (double* const value : {&rate->median, &rate->low, &rate->high})
      *value = drawn_waits->in_long_run(*value);
  return rate;
}

double CellResult::luck_of_waits() const {
  auto const rate = throughput();
  return rate ? std::abs(long_run_throughput()->median / rate->median - 1) : 0;
}

std::optional<double> CampaignResult::floor_half_width() const {
  auto const floor = noise_floor(reference);
  // Below 6 rounds there is no interval of 95%, of the floor or of any cell: nothing is claimed.
  if (!floor || !floor->holds()) return std::nullopt;
  return floor->relative_half_width();
}

Interval CampaignResult::claimed(Interval rate) const {
  auto const floor = floor_half_width();
  return floor ? rate.no_narrower_than(*floor) : rate;
}

std::string CampaignResult::unfit() const {
  auto const floor = floor_half_width();
  // With another build, `ci` is of ratios, and the machine's speed is not in them.
  double const wanted = options.against.empty() ? options.ci : std::max(options.ci, defaults::kCi);
  if (!floor) return "";
  if (*floor <= wanted) {
    auto const reads = reference_read_bytes_per_s(reference);
    bool const matters = std::any_of(plan.cells.begin(), plan.cells.end(),
                                     [](Cell const& cell) { return cell.stream == StreamKind::cpu; });
    if (!matters || !reads || !reads->holds() || reads->relative_half_width() <= wanted) return "";
    return "the speed at which this machine reads memory is known to \u00b1" +
           format_percent(reads->relative_half_width(), 1) + " only, wider than the \u00b1" +
           format_percent(wanted, 1) +
           " asked for: what waits for memory, such as counting without work, is as uncertain. 'tally "
           "doctor' says what to do.";
  }
  return "this machine's noise floor is \u00b1" + format_percent(*floor, 1) + ", wider than the \u00b1" +
         format_percent(wanted, 1) +
         " asked for: a fixed computation that involves no model differed by as much. 'tally doctor' says "
         "what to do.";
}

bool CampaignResult::any_failed() const {
  return !write_failure.empty() || !keys_left.empty() || !lost.empty() ||
         std::any_of(cells.begin(), cells.end(),
                     [](CellResult const& cell) { return !cell.failure.empty(); });
}

double CampaignResult::bytes_per_event(Cell const& cell) const {
  if (!options.input) return static_cast<double>(SyntheticEvents::key_bytes(options.keys.keys));
  double const events = static_cast<double>(std::max<std::uint64_t>(1, cell.events));
  return static_cast<double>(input_bytes) * static_cast<double>(options.text.repeat) / events;
}

namespace {

/// By how much longer a grain took in `reference`'s round than its nominal time: its chain is given, and a
/// link takes longer or shorter, and again otherwise with several CPUs busy.
double stretch_of_grain(CampaignResult const& result, Cell const& cell, ReferenceSample const& reference) {
  double const alone = reference.links_per_ns_alone, together = reference.links_per_ns;
  bool const known = alone > 0 && together > 0 && result.links_per_ns > 0;
  if (cell.grain.count() <= 0 || cell.stream != StreamKind::cpu || !known) return 1;
  int const cpus = cell.model->sequential ? 1 : std::min(cell.workers, result.reference_cpus);
  // Between one CPU and all of them nothing was measured.
  double const share = result.reference_cpus > 1 ? (cpus - 1.0) / (result.reference_cpus - 1.0) : 0;
  Grain const grain = make_grain(cell.grain, result.links_per_ns);
  return event_ns(grain, alone + share * (together - alone)) / static_cast<double>(cell.grain.count());
}

/// Events/s that memory could be read for in `reference`'s round; infinite where that does not bound the
/// cell, or is not known: caches hold a part of the stream, or other CPUs than all of them read.
double memory_bound(CampaignResult const& result, Cell const& cell, ReferenceSample const& reference) {
  double const bytes = result.bytes_per_event(cell);
  double const read = static_cast<double>(result.options.reference.read_bytes) * result.reference_cpus;
  if (cell.stream != StreamKind::cpu || cell.workers != result.reference_cpus || bytes <= 0 ||
      reference.read_bytes_per_s <= 0 || static_cast<double>(cell.events) * bytes < read)
    return INFINITY;
  return reference.read_bytes_per_s * ranks_of(cell) / bytes;
}

/// The most lookups per second of its own work that the service did for any cell of `cell`'s groups; infinite
/// where there were no lookups, or its work is not known.
double service_bound(CampaignResult const& result, std::size_t cell) {
  double most = 0;
  if (!looks_up(result.cells.at(cell).cell)) return INFINITY;
  for (Group const& group : result.plan.groups) {
    if (std::find(group.cells.begin(), group.cells.end(), cell) == group.cells.end()) continue;
    for (std::size_t const other : group.cells) {
      if (!has_figures(result.cells[other])) continue;
      for (Sample const& s : result.cells[other].samples)
        if (s.service_busy_s && *s.service_busy_s > 0)
          most = std::max(most, static_cast<double>(s.events) / *s.service_busy_s);
    }
  }
  return most > 0 ? most : INFINITY;
}

}  // namespace

std::optional<Bound> CampaignResult::bound(std::size_t cell, int round) const {
  CellResult const& result = cells.at(cell);
  auto const measured = std::find_if(reference.begin(), reference.end(),
                                     [&](ReferenceSample const& sample) { return sample.round == round; });
  bool const known = measured != reference.end();
  double const stretch = known ? stretch_of_grain(*this, result.cell, *measured) : 1;
  Bound least{result.analytic_bound / stretch, Bound::By::arithmetic};
  for (Bound const& other :
       {Bound{known ? memory_bound(*this, result.cell, *measured) : INFINITY, Bound::By::memory},
        Bound{service_bound(*this, cell), Bound::By::service}})
    if (other.items_per_second < least.items_per_second) least = other;
  if (!std::isfinite(least.items_per_second) || least.items_per_second <= 0) return std::nullopt;
  return least;
}

std::optional<Bound> CampaignResult::bound(std::size_t cell) const {
  std::vector<Bound> bounds;
  for (Sample const& sample : cells.at(cell).samples)
    if (auto const found = bound(cell, sample.round)) bounds.push_back(*found);
  if (bounds.empty()) return std::nullopt;
  auto const middle = bounds.begin() + static_cast<std::ptrdiff_t>((bounds.size() - 1) / 2);
  std::nth_element(bounds.begin(), middle, bounds.end(),
                   [](Bound const& a, Bound const& b) { return a.items_per_second < b.items_per_second; });
  return *middle;
}

std::optional<Interval> CampaignResult::efficiency(std::size_t cell) const {
  CellResult const& result = cells.at(cell);
  if (!has_figures(result)) return std::nullopt;
  std::vector<double> values;
  for (Sample const& sample : result.samples)
    if (auto const most = bound(cell, sample.round))
      values.push_back(sample.items_per_second() / most->items_per_second);
  return interval_of(values);
}

std::optional<Interval> CampaignResult::of_limit(std::size_t cell) const {
  CellResult const& result = cells.at(cell);
  for (Group const& group : plan.groups) {
    if ((group.rate_per_s > 0 && !group.slo) || !bounded_by_limit(group, result.cell) ||
        std::find(group.cells.begin(), group.cells.end(), cell) == group.cells.end())
      continue;
    for (std::size_t const other : group.cells)
      if (!cells[other].cell.model->candidate && has_figures(cells[other])) return ratio(cell, other);
  }
  return std::nullopt;
}

std::vector<std::string> CampaignResult::contradictions() const {
  std::vector<std::string> sentences;
  auto const percent = [](Interval const& share) {
    return format_percent(share.median, 1) + " [" + format_percent(share.low, 1) + ", " +
           format_percent(share.high, 1) + "]";
  };
  for (std::size_t i = 0; i < cells.size(); ++i) {
    std::string const name = cells[i].cell.name();
    if (auto const share = efficiency(i); share && share->holds() && share->low > 1 + kBoundKnownTo)
      sentences.push_back(name + " reached " + percent(*share) +
                          " of its bound, which nothing can exceed: the bound or the measurement is wrong");
    // Rates that were searched for are known no better, and of lookups a lead may be luck of their waits.
    double const known_to = cells[i].slo ? kSearchResolution : 1 + cells[i].luck_of_waits();
    if (auto const share = of_limit(i); share && share->holds() && share->low > known_to)
      sentences.push_back(name + " reached " + percent(*share) +
                          " of `limit`, which is to be the least code for the job, and is not here");
  }
  return sentences;
}

std::optional<Interval> CampaignResult::ratio(std::size_t cell, std::size_t base) const {
  return interval_of(ratios_by_round(cells.at(cell), cells.at(base)));
}

bool CampaignResult::converged(std::size_t index) const {
  Pair const* const pair = plan.pair_of(index);
  auto const ratio = pair ? ratio_of(*pair) : std::nullopt;
  if (!ratio) return cells.at(index).converged(options.ci);
  return ratio->holds() && ratio->relative_half_width() <= options.ci;
}

std::optional<double> CampaignResult::memory_share(CellResult const& cell) const {
  auto const most = reference_read_bytes_per_s(reference);
  auto const rate = cell.throughput();
  if (cell.cell.stream != StreamKind::cpu || !most || !rate || cell.cell.workers != reference_cpus)
    return std::nullopt;
  return rate->median * bytes_per_event(cell.cell) / (most->median * ranks_of(cell.cell));
}

std::optional<double> median_over(CellResult const& cell,
                                  std::function<std::optional<double>(Sample const&)> const& figure) {
  std::vector<double> values;
  for (Sample const& sample : cell.samples) {
    if (!sample.failure.empty()) continue;
    if (std::optional<double> const value = figure(sample); value && std::isfinite(*value))
      values.push_back(*value);
  }
  if (values.empty()) return std::nullopt;
  return median_interval(values).median;
}

std::string_view CampaignResult::limited_by(CellResult const& cell) const {
  auto const service = median_over(cell, [&](Sample const& s) -> std::optional<double> {
    if (!s.service_busy_s) return std::nullopt;
    // Accepting connections is much of what a database does for a short sample, and in its account.
    return *s.service_busy_s / in_seconds(on_database ? s.startup + s.elapsed + s.teardown : s.elapsed);
  });
  if (service && *service > kFull) return "service";
  if (cell.cell.rate_per_s > 0 && !is_saturated(cell))
    return generator_is_late(cell) ? "generator" : "arrivals";
  auto const rate = median_over(cell, [](Sample const& s) { return s.items_per_second(); });
  if (looks_up(cell.cell) && cell.cell.wait.count() > 0 && !on_database && rate) {
    int const at_once = cell.cell.model->sequential              ? 1
                        : cell.cell.stream == StreamKind::lookup ? cell.cell.in_flight
                                                                 : cell.cell.connections;
    double const most = at_once * ranks_of(cell.cell) / in_seconds(cell.cell.wait + cell.cell.grain);
    if (*rate > kFull * most) return "wait";
  }
  if (auto const share = memory_share(cell); share && *share > kFull) return "memory";
  // Start-up is in the CPU time, so it is in the time that it is a share of.
  bool const ingest = cell.cell.stream == StreamKind::ingest;
  auto const busy = median_over(cell, [&](Sample const& s) {
    // On ingest a server waits for its senders to connect before the schedule begins: that is no time to work
    // in.
    auto whole = ingest ? s.elapsed : s.startup + s.elapsed + s.teardown;
    if (s.team) whole -= s.team->merge;  // its CPU time is not the model's
    return (s.user_s + s.sys_s) / (in_seconds(whole) * cell.cell.workers * ranks_of(cell.cell));
  });
  if (busy && *busy > kFull) return "CPU";
  if (!ingest) return "";
  // A generator that never waited for the server, and was not done long before it: at no rate it never rests.
  auto const kept_sending = median_over(cell, [](Sample const& s) -> std::optional<double> {
    if (!s.load) return std::nullopt;
    return s.load->waits == 0 && s.load->achieved_per_s * kFull < s.items_per_second() ? 1.0 : 0.0;
  });
  return kept_sending && *kept_sending > 0.5 ? "generator" : "";
}

bool generator_is_late(CellResult const& cell) {
  auto const late = median_over(cell, [](Sample const& s) -> std::optional<double> {
    if (!s.load) return std::nullopt;
    return s.load->waits == 0 && s.load->late_p99_s > kGeneratorOnTime_s ? 1.0 : 0.0;
  });
  return late && *late > 0.5;
}

bool is_saturated(CellResult const& cell) {
  constexpr double kMostBehind = 0.005;
  if (cell.cell.rate_per_s == 0) return false;
  // The last events of all connections wait for their lookups at once, and queue a little before: the longest
  // of as many waits, exponential ones, is about the logarithm of their number times the mean.
  constexpr double kWaitsQueued = 10;
  double const waits =
      looks_up(cell.cell) ? std::log(static_cast<double>(cell.cell.connections)) + kWaitsQueued : 0;
  double const most_behind_s = 0.010 + waits * in_seconds(cell.cell.wait);
  auto const behind = median_over(cell, [=](Sample const& s) -> std::optional<double> {
    if (!s.load) return std::nullopt;
    return s.load->behind_s / std::max(s.load->schedule_s * kMostBehind, most_behind_s);
  });
  return behind && *behind > 1;
}

std::optional<bool> keeps_slo(CellResult const& cell, Slo const& slo) {
  if (!cell.failure.empty() || !cell.corrected) return std::nullopt;
  return !is_saturated(cell) && cell.corrected->at_percentile(slo.percent) <= slo.latency;
}

std::uint64_t latencies_needed(double percent) {
  constexpr double kZ = 2.5758293035489004;  // of 99% confidence, two-sided
  constexpr double kUnit = 8192;
  double const p = percent / 100, margin = (1 - p) / 20;
  return static_cast<std::uint64_t>(std::ceil(kZ * kZ * p * (1 - p) / (margin * margin) / kUnit) * kUnit);
}

std::optional<Interval> CampaignResult::ratio_of(Pair const& pair) const {
  return interval_of(ratios_by_round(cells.at(pair.here), cells.at(pair.there)),
                     corrected(plan.pairs.size()));
}

Verdict verdict(Interval const& ratio) {
  if (!ratio.holds()) return Verdict::too_few_rounds;
  return ratio.low > 1 ? Verdict::faster : ratio.high < 1 ? Verdict::slower : Verdict::not_separated;
}

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::faster:
      return "faster";
    case Verdict::slower:
      return "slower";
    case Verdict::not_separated:
      return "not separated";
    case Verdict::too_few_rounds:
      return "too few rounds";
  }
  return "unknown";
}

}  // namespace tally
