#include "bench/sampling/local_sampler.hpp"

#include <algorithm>

#include "bench/plan/bound.hpp"

namespace tally {

LocalSampler::LocalSampler(RunOptions const& options, Plan const& plan, StopSignals const& stop,
                           Progress& progress)
    : options_(options), runner_(options, plan, stop, progress), streams_(options, stop, progress) {
  streams_.set_service(runner_.lookups().target());
}

PreparedCell known_waits(Cell const& cell, RunOptions const& options, bool waits_are_ours) {
  PreparedCell prepared{.events = cell.events};
  if (!looks_up(cell) || !waits_are_ours) return prepared;
  WaitSpec const wait{cell.wait, options.wait_distribution};
  prepared.wait_s = mean_wait_s(wait, options.keys.seed, cell.events);
  if (cell.stream == StreamKind::lookup && cell.wait.count() > 0 && cell.events > 0)
    prepared.drawn_waits.emplace(wait, options.keys.seed, cell.events,
                                 cell.model->sequential ? 1 : cell.in_flight);
  return prepared;
}

std::vector<PreparedCell> LocalSampler::prepare(std::vector<Cell> const& cells) {
  // All synthetic events at once: a longer stream would be drawn anew, and the others' references with it.
  std::uint64_t most_events = 0;
  for (Cell const& cell : cells)
    if (cell.stream != StreamKind::lookup) most_events = std::max(most_events, cell.events);
  if (most_events > 0 && !input()) streams_.reserve(most_events);
  std::vector<PreparedCell> all;
  for (Cell cell : cells) {
    Workload const& workload = streams_.workload(cell);
    if (workload.cpu && input()) cell.events = workload.expected.events;
    PreparedCell prepared = known_waits(cell, options_, runner_.waits_are_ours());
    if (prepared.wait_s > 0 && workload.load && !cell.model->sequential)
      prepared.wait_s =
          slowest_wait_s(*workload.load, {cell.wait, options_.wait_distribution}, options_.keys.seed);
    all.push_back(std::move(prepared));
  }
  return all;
}

std::uint64_t LocalSampler::input_bytes() const { return input() ? input()->text().size() : 0; }

CellSample LocalSampler::sample(Cell const& cell) {
  return runner_.run(cell, streams_.workload(cell), streams_);
}

}  // namespace tally
