#include "bench/campaign/event_numbers.hpp"

#include <algorithm>
#include <cmath>

#include "bench/analysis/drawn_waits.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/base/units.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/bound.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr double kPilotSeconds = 0.01;
constexpr int kPilotsAtMost = 12;
constexpr int kLongPilots = 3;
constexpr double kPilotGrowth = 16;
constexpr double kFirstPilotEvents = 20'000;
constexpr double kMostAutoEvents = 200e6;
constexpr double kMostLookups = 10e6;
/// CPU time that a model takes to schedule a task, roughly: 20 to 400 ns.
constexpr double kTaskSeconds = 100e-9;
constexpr double kLookupsPerInFlight = 10;
/// Waits are not waited for that often that a sample takes longer.
constexpr double kMostSecondsToDrain = 5;
/// A program's start-up, an interpreter's say, is in its CPU time: in so many times as long a sample it is
/// less of it.
constexpr double kExternalLength = 5;
constexpr double kTasksPerWorker = 16, kMostSecondsToBalance = 2;
/// On ingest, connections have their events from the first: the slowest of them is the last to end, by less
/// the more it has.
constexpr double kLookupsPerConnection = 100;
/// Where no pilot comes through and no bound is known: the rounds will say what is wrong.
constexpr double kEventsOfUnknownRate = 100'000;

/// As many events of `cell` as memory has room for, with their windows' counts, four times over.
double most_events(Cell cell, RunOptions const& options) {
  auto const memory = static_cast<double>(read_system_limits().memory.value);
  cell.events = 1;
  double const least_needed = memory_needed_bytes(cell, options);
  double const room = (memory - least_needed) / 4;
  cell.events = static_cast<std::uint64_t>(looks_up(cell) ? kMostLookups : kMostAutoEvents);
  while (cell.events > 1 && memory_needed_bytes(cell, options) - least_needed > room) cell.events /= 2;
  return static_cast<double>(cell.events);
}

/// How many events of `cell` wait at once for the lookup service, at most.
int waiting_at_once(Cell const& cell) {
  return cell.stream == StreamKind::ingest ? cell.connections : cell.in_flight;
}

constexpr double kPilotLinesPerConnection = 4'000, kMostPilotLines = 8e6;

class Pilots {
 public:
  Pilots(RunOptions const& options, LocalSampler& local, Progress& progress)
      : options_(options), local_(local), progress_(progress) {}

  /// The bound of `cell` as far as it can be computed beforehand.
  double bound(Cell const& cell) const {
    double const wait_s = local_.runner().waits_are_ours() ? Seconds(cell.wait).count() : 0;
    return analytic_bound(cell, local_.runner().cpus_of(cell), wait_s);
  }

  /// Events/s of samples that grow until they last; none if one fails.
  std::optional<double> rate(Cell cell) {
    progress_.say("pilot of " + cell.name());
    double const expected = bound(cell);
    double const most = most_events(cell, options_);
    double events = std::isfinite(expected) ? expected * kPilotSeconds : kFirstPilotEvents;
    if (looks_up(cell))
      events = std::max(events, 2.0 * waiting_at_once(cell));
    else if (cell.stream == StreamKind::ingest)  // in pieces of a few lines, a pilot would be of sends alone
      events =
          std::clamp(kPilotLinesPerConnection * cell.connections, events, std::max(events, kMostPilotLines));
    std::optional<double> rate;
    int long_enough = 0;
    for (int i = 0; i < kPilotsAtMost && long_enough < kLongPilots; ++i) {
      cell.events = static_cast<std::uint64_t>(std::clamp(events, 1.0, most));
      Sample const sample = local_.sample(cell).sample;
      local_.forget();
      if (!sample.failure.empty()) return std::nullopt;
      double const took = Seconds(sample.elapsed).count();
      bool const is_long = took >= kPilotSeconds || events >= most;
      // A stall of the machine is longer than a pilot: the fastest of some says what the cell can do.
      if (took > 0) rate = std::max(long_enough > 0 ? rate.value_or(0) : 0, in_long_run(sample, cell));
      if (is_long || long_enough > 0)
        ++long_enough;
      else
        events *= std::clamp(1.2 * kPilotSeconds / std::max(took, 1e-9), 2.0, kPilotGrowth);
    }
    return rate;
  }

 private:
  /// Of a pilot of a few waits, the end is a large part.
  double in_long_run(Sample const& sample, Cell const& cell) const {
    if (cell.stream != StreamKind::lookup || cell.wait.count() == 0 || !local_.runner().waits_are_ours())
      return sample.items_per_second();
    DrawnWaits const waits({cell.wait, options_.wait_distribution}, options_.keys.seed, cell.events,
                           cell.model->sequential ? 1 : cell.in_flight);
    return waits.in_long_run(sample.items_per_second());
  }

  RunOptions const& options_;
  LocalSampler& local_;
  Progress& progress_;
};

/// The model whose pilot sets a group's pace: `limit`, of the plan or of the registry, else the first that is
/// no sequential.
Model const* pace_maker(Group const& group, Plan const& plan) {
  Model const* first = nullptr;
  for (std::size_t const i : group.cells) {
    Model const* const model = plan.cells[i].model;
    if (!model->candidate) return model;
    if (!first && !model->sequential && model->external == nullptr) first = model;
  }
  if (!first) return nullptr;
  for (Model const& model : all_models()) {
    if (!model.candidate && runs(model, group.stream) && model.unavailable.empty()) return &model;
  }
  return first;
}

/// Whether a pilot of its own sets the number of its events: where the others' would take minutes.
bool has_own_number(Model const& model) { return model.sequential || model.external != nullptr; }

}  // namespace

std::uint64_t number_of_events(Cell const& cell, RunOptions const& options, double bound,
                               std::optional<double> rate) {
  bool const external = cell.model != nullptr && cell.model->external != nullptr;
  double const sample_s = Seconds(options.sample_length).count() * (external ? kExternalLength : 1);
  double const pace = std::min(rate.value_or(bound), bound);
  double events = std::isfinite(pace) ? pace * sample_s : kEventsOfUnknownRate;
  if (looks_up(cell)) {
    double const connections = waiting_at_once(cell);
    if (cell.stream == StreamKind::ingest) {
      events = std::max(events, kLookupsPerConnection * connections);
    } else {
      // Of those in flight, so many wait for the service at once (Little's law); the others wait for a CPU,
      // which is no less busy for having been filled once.
      double const waiting = std::isfinite(pace)
                                 ? std::min(connections, pace * Seconds(cell.wait + cell.grain).count())
                                 : connections;
      double const drain = drain_in_waits(options.wait_distribution, waiting) / options.most_draining;
      double const to_drain = std::isfinite(pace) ? std::min(drain * waiting, pace * kMostSecondsToDrain) : 0;
      events = std::max({events, kLookupsPerInFlight * waiting, connections, to_drain});
    }
  } else if (cell.stream == StreamKind::cpu) {
    double const least = std::isfinite(pace) ? pace * kPilotSeconds : events;
    if (cell.batch != kAutoBatch)
      events = std::min(events, std::max(static_cast<double>(cell.batch) * sample_s / kTaskSeconds, least));
    // So many tasks that the last of them, which some workers have and others not, do not govern the figure.
    double const balanced = kTasksPerWorker * static_cast<double>(cell.batch) * cell.workers;
    if (std::isfinite(pace) && cell.workers > 1)
      events = std::max(events, std::min(balanced, pace * kMostSecondsToBalance));
  }
  return two_digits(std::min(events, most_events(cell, options)));
}

std::optional<double> pilot_rate(Cell const& cell, RunOptions const& options, LocalSampler& local,
                                 Progress& progress) {
  return Pilots(options, local, progress).rate(cell);
}

std::uint64_t events_of_rate(Cell const& cell, double length_s, RunOptions const& options) {
  return two_digits(std::min(cell.rate_per_s * length_s, most_events(cell, options)));
}

std::vector<std::uint64_t> choose_numbers(RunOptions const& options, Plan const& plan, LocalSampler& local,
                                          Progress& progress) {
  std::vector<std::uint64_t> numbers(plan.cells.size());
  Pilots pilots(options, local, progress);
  for (Group const& group : plan.groups) {
    bool const from_file = group.stream == StreamKind::cpu && options.input;
    if (from_file || options.events || group.rate_per_s > 0 || group.slo) continue;
    if (Model const* const model = pace_maker(group, plan)) {
      Cell const cell = cell_in(group, *model);
      std::optional<double> const rate = pilots.rate(cell);
      std::uint64_t const events = number_of_events(cell, options, pilots.bound(cell), rate);
      for (std::size_t const i : group.cells)
        if (!has_own_number(*plan.cells[i].model)) numbers[i] = events;
    }
  }
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    Cell const& cell = plan.cells[i];
    if (cell.stream == StreamKind::cpu && options.input) continue;
    if (options.events)
      numbers[i] = *options.events;
    else if (cell.rate_per_s > 0)
      numbers[i] = events_of_rate(cell, Seconds(options.rated_lengths.sample).count(), options);
    else if (options.slo)
      numbers[i] = 0;  // no rate was found, so that it is not measured
    else if (numbers[i] == 0)
      numbers[i] = number_of_events(cell, options, pilots.bound(cell), pilots.rate(cell));
  }
  return numbers;
}

}  // namespace tally
