// What a campaign measured, and the figures that follow from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/analysis/drawn_waits.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/analysis/slo_answer.hpp"
#include "bench/base/statistics.hpp"
#include "bench/machine/machine.hpp"
#include "bench/machine/reference_work.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/plan/slo.hpp"

namespace tally {

/// What the ratio of this build's throughput to another's says.
enum class Verdict { faster, slower, not_separated, too_few_rounds };
std::string_view name(Verdict verdict);

enum class Closed { open, converged, rounds, time_budget, interrupted, failed, no_rate, outrun, team_lost };

/// All that is known of one cell.
struct CellResult {
  Cell cell;                    ///< with the number of events that was used
  std::vector<Sample> samples;  ///< in order of time; the last may be a failure
  Closed closed = Closed::open;
  std::string failure;  ///< of the sample that failed; such a cell has no figures
  /// min(P / g, c / (w + g)), events/s, at the speed at which the grain was calibrated; infinite if neither
  /// applies. w is the mean of the waits that the embedded service draws for this cell's very events: with it
  /// the bound holds exactly, where the nominal mean is off by chance.
  double analytic_bound = 0;
  /// Of the lookups of one sample, where the embedded service draws how long they wait.
  std::optional<DrawnWaits> drawn_waits;
  std::vector<std::uint64_t>
      lateness;  ///< of all samples together, by bucket as ServiceControl counts it; embedded service

  std::optional<SloAnswer> slo;  ///< with --slo: how the cell's rate was found
  /// Of all samples together, as CellSample has them; null where there are none.
  std::shared_ptr<LatencyHistogram> corrected, uncorrected;

  /// Throughput in events/s over the verified samples; none if failed or no sample.
  std::optional<Interval> throughput() const;
  /// The same in the long run, with neither the waits that the cell's samples drew nor their end.
  std::optional<Interval> long_run_throughput() const;
  /// By so much, as a part of it, the throughput is not that of the long run, for all that its samples had
  /// the waits they drew, and an end at which there is nothing left but to wait. Rounds do not tell: their
  /// waits are the same. Which of them fall on that end depends on how a model shares events out, so that a
  /// lead below this is luck. 0 where waits are not known.
  double luck_of_waits() const;
  bool converged(double ci) const;
};

/// What no model can exceed.
struct Bound {
  enum class By { arithmetic, memory, service };

  double items_per_second;
  By by;  ///< CPUs / grain, in flight / (wait + grain) or a rate; the memory's bandwidth; the lookup service
};

struct CampaignResult {
  Plan plan;
  std::vector<CellResult> cells;  ///< parallel to plan.cells
  RunOptions options;
  int reference_cpus = 0;         ///< on which the reference computation runs
  std::uint64_t input_bytes = 0;  ///< of the input file, if there is one
  double links_per_ns = 0;        ///< of the grain's chain, as calibrated
  int rounds = 0;                 ///< begun
  bool interrupted = false;
  std::string
      manifest;  ///< the result file's context as far as it does not change, as JSON (make_manifest())
  bool ranks_share_cpus = false;  ///< of an MPI job, which makes no figure of it a claim
  std::string lost;               ///< which rank was lost, that ended the campaign; empty if none was
  bool on_database = false;       ///< lookups asked a database
  std::string keys_left;          ///< what could not be removed from it; empty if nothing is left
  std::string write_failure;      ///< why the results could not be written, if they could not
  std::vector<std::string>
      notes;  ///< what a reader must know: service shares a CPU with workers, more workers than CPUs
  std::chrono::nanoseconds took{0};
  std::vector<ReferenceSample> reference;  ///< one in each round
  std::vector<BusyProcess> others;         ///< that used the CPU meanwhile, the busiest first
  std::vector<double> load_after;          ///< load averages at the end
  std::optional<double>
      steal_share;  ///< of the machine's CPU time meanwhile, what its hypervisor gave to others

  /// That the noise floor, of computing or, where a cell's events lie in memory, of reading that, does not
  /// allow the interval asked for, as a sentence; empty if it does.
  std::string unfit() const;
  /// The half-width, relative to the median, that the noise floor has; none without an interval of it.
  std::optional<double> floor_half_width() const;
  /// What may be claimed of a throughput with interval `rate`: that interval, or where it is narrower, what
  /// the noise floor leaves of it. A machine whose speed is not known better than by so much lets no figure
  /// be.
  Interval claimed(Interval rate) const;
  /// A cell failed, a rank was lost, the results could not be written, or keys are left in a database.
  bool any_failed() const;
  /// What no model can exceed in a cell, in a round, events/s: the least of its analytic bound at the speed
  /// that the CPUs had in that round (of as many as it has, all busy), of what the memory's bandwidth was
  /// then, where the stream is longer than caches are, and of what the lookup service proved able to answer
  /// in the cell's groups. No model's own throughput is in it. None where nothing is known.
  std::optional<Bound> bound(std::size_t cell, int round) const;
  /// That of the cell's rounds in which it was the median, the lower of two.
  std::optional<Bound> bound(std::size_t cell) const;
  /// Per-round efficiency X / bound, with interval, in which the bound's own uncertainty is. None where the
  /// bound is unknown.
  std::optional<Interval> efficiency(std::size_t cell) const;
  /// Throughput over that of `limit` in the same group, round by round, with interval; for sequential in a
  /// group with one worker and one event in flight. None without such a `limit`, and at a rate.
  std::optional<Interval> of_limit(std::size_t cell) const;
  /// Where the yardsticks do not fit what was measured, a sentence each: a model that is above its bound, or
  /// above `limit`, by more than the intervals allow.
  std::vector<std::string> contradictions() const;
  /// Ratio of throughput to `base`, round by round, with interval. None without common rounds.
  std::optional<Interval> ratio(std::size_t cell, std::size_t base) const;
  /// Whether what the cell is measured for is known within `ci`: its throughput, or with another build beside
  /// it, the ratio of the two.
  bool converged(std::size_t cell) const;
  /// Bytes of the stream that a cell reads for an event on `cpu`.
  double bytes_per_event(Cell const& cell) const;
  /// What the cell reads of its stream's bytes in a second, over what its CPUs can read of memory in a
  /// second, as the reference computation found. None where it cannot be told: where the stream is not in
  /// memory (lookup), or fewer CPUs run the cell than ran the reference computation.
  std::optional<double> memory_share(CellResult const& cell) const;
  /// What kept the cell from being faster, from what was measured: "service", "wait", "memory", "CPU",
  /// "arrivals" where all that was offered was counted, "generator" where more could not be sent, or "" where
  /// none of them was full, which leaves the hand-off between threads.
  std::string_view limited_by(CellResult const& cell) const;
  /// With --against: this build's throughput over the other's, round by round. The interval is corrected for
  /// the number of pairs (Bonferroni), so that 95% is the confidence that none of all verdicts is mistaken.
  std::optional<Interval> ratio_of(Pair const& pair) const;
};

/// Whether a cell at a rate fell behind it: in the median of its samples, the last event was counted later
/// than it was due by more than 0.5% of the schedule, and by more than 10 ms. Latencies then say how long it
/// was measured, and nothing of the model.
bool is_saturated(CellResult const& cell);

/// Whether, in the median of the cell's samples, the generator was late, though the server made no sender
/// wait: then more could not be sent on time, whatever the model.
bool generator_is_late(CellResult const& cell);

/// Whether a cell with --slo kept the objective in its rounds, over all samples together. None where there
/// are none.
std::optional<bool> keeps_slo(CellResult const& cell, Slo const& slo);

/// How many latencies must stand behind a percentile (50 to 99.9), so that with 99% confidence it is known
/// within a twentieth of its distance to 100% (Reddi et al., MLPerf Inference Benchmark, ISCA 2020, 4.5).
std::uint64_t latencies_needed(double percent);

/// The median over the cell's verified samples of what `figure` gives, which may be none.
std::optional<double> median_over(CellResult const& cell,
                                  std::function<std::optional<double>(Sample const&)> const& figure);

/// What may be said of a pair whose ratio is `ratio`.
Verdict verdict(Interval const& ratio);

/// "converged", "rounds", "time_budget", …: why a cell was closed, as the result file has it.
std::string_view name(Closed closed);

}  // namespace tally
