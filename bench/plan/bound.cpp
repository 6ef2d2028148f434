#include "bench/plan/bound.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace tally {

double analytic_bound(Cell const& cell, int cpus, double wait_s) {
  using Seconds = std::chrono::duration<double>;
  double const grain_s = Seconds(cell.grain).count();
  double bound = std::numeric_limits<double>::infinity();
  if (grain_s > 0) bound = (cell.model->sequential ? 1 : cpus) / grain_s;
  if (cell.stream == StreamKind::lookup && wait_s > 0)
    bound = std::min(bound, (cell.model->sequential ? 1 : cell.in_flight) / (wait_s + grain_s));
  if (cell.stream == StreamKind::ingest && cell.lookup && wait_s > 0)
    bound = std::min(bound, (cell.model->sequential ? 1 : cell.connections) / (wait_s + grain_s));
  if (cell.stream == StreamKind::ingest && cell.rate_per_s > 0) bound = std::min(bound, cell.rate_per_s);
  return bound;
}

double slowest_wait_s(LoadSchedule const& load, WaitSpec const& wait, std::uint64_t seed) {
  std::vector<double> sums_ns(static_cast<std::size_t>(load.spec().connections));
  for (std::uint64_t run = 0; run < load.runs(); ++run)
    for (std::uint64_t i = load.first_of_run(run); i < load.end_of_run(run); ++i)
      sums_ns[static_cast<std::size_t>(load.connection_of_run(run))] +=
          static_cast<double>(draw_wait(wait, seed, i).count());
  double const connections = static_cast<double>(sums_ns.size()), events = static_cast<double>(load.events());
  return events > 0 ? *std::max_element(sums_ns.begin(), sums_ns.end()) * 1e-9 * connections / events : 0;
}

double mean_wait_s(WaitSpec const& wait, std::uint64_t seed, std::uint64_t events) {
  if (events == 0) return std::chrono::duration<double>(wait.mean).count();
  double sum_ns = 0;
  for (std::uint64_t i = 0; i < events; ++i) sum_ns += static_cast<double>(draw_wait(wait, seed, i).count());
  return sum_ns * 1e-9 / static_cast<double>(events);
}

}  // namespace tally
