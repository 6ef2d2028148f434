// A campaign: rounds over the open cells of a plan, each sample in a process of its own, every count verified.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/cell.hpp"
#include "bench/options.hpp"
#include "bench/statistics.hpp"

namespace tally {

/// One timed run of a cell, as measured in its own process. `failure` is empty if and only if the counts were verified;
/// a failed sample has no figures.
struct Sample {
  std::string failure;
  std::chrono::nanoseconds elapsed{0};   ///< first event handed out to merged counts complete
  std::chrono::nanoseconds startup{0};
  std::chrono::nanoseconds teardown{0};
  double user_s = 0;                     ///< CPU time of the model, threads and children included, start-up too
  double sys_s = 0;
  std::uint64_t peak_rss_bytes = 0;
  std::uint64_t ctx_voluntary = 0;
  std::uint64_t ctx_involuntary = 0;
  int workers_ran = 0;
  std::uint64_t events = 0;              ///< counted
  std::uint64_t tasks = 0;
  std::uint64_t replies = 0;
  std::uint64_t malformed = 0;
  std::optional<double> service_cpu_s;   ///< lookup on the embedded service: its CPU time, spinning included
  std::optional<double> service_busy_s;  ///< of that, what was work
  std::optional<double> reply_late_p99_s;  ///< 99th percentile of reply lateness in this sample
  int round = 0;
  int order = 0;                         ///< place in the round
  double started_s = 0;                  ///< since the campaign began
  double items_per_second() const { return static_cast<double>(events) / std::chrono::duration<double>(elapsed).count(); }
};

enum class Closed { open, converged, rounds, time_budget, interrupted, failed };

/// All that is known of one cell.
struct CellResult {
  Cell cell;                       ///< with the number of events that was used
  std::vector<Sample> samples;     ///< in order of time; the last may be a failure
  Closed closed = Closed::open;
  std::string failure;             ///< of the sample that failed; such a cell has no figures
  std::optional<double> limit_items_per_second;  ///< `limit`'s median in this cell's group (or its pilot's rate, if `limit` was no row)
  double analytic_bound = 0;       ///< min(P / g, c / (w + g)), events/s; infinite if neither applies

  /// Throughput in events/s over the verified samples; none if failed or no sample.
  std::optional<Interval> throughput() const;
  bool converged(double ci) const;
};

struct CampaignResult {
  Plan plan;
  std::vector<CellResult> cells;   ///< parallel to plan.cells
  RunOptions options;
  double links_per_ns = 0;         ///< of the grain's chain, as calibrated
  int rounds = 0;                  ///< begun
  bool interrupted = false;
  std::vector<std::string> notes;  ///< what a reader must know: service shares a CPU with workers, more workers than CPUs
  std::chrono::nanoseconds took{0};

  bool any_failed() const;
  /// The measured ceiling of a cell in one round: min(analytic bound, `limit` in that round or else its median).
  /// None where neither is known.
  std::optional<double> bound(std::size_t cell, int round) const;
  /// Per-round efficiency X / bound, with interval. None where the bound is unknown.
  std::optional<Interval> efficiency(std::size_t cell) const;
  /// Ratio of throughput to `base`, round by round, with interval. None without common rounds.
  std::optional<Interval> ratio(std::size_t cell, std::size_t base) const;
};

/// Runs the campaign. Call single-threaded; single-threaded on return, no process left behind. SIGINT and SIGTERM end it
/// early with `interrupted`. After every round the results so far are written to options.out (whole or not at all).
/// Throws UsageError for what can be known to be impossible before measuring.
CampaignResult run_campaign(RunOptions const& options, Plan const& plan);

}  // namespace tally
