// What each model adds to the bound, fitted to measured cells; and what follows for points that nobody
// measured.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/plan/cell.hpp"

namespace tally {

/// Where models are compared: what a cell has, but the model. Streams cpu and lookup.
struct Point {
  StreamKind stream = StreamKind::lookup;
  int workers = 1;
  double grain_s = 0;
  std::uint64_t batch = 1;  ///< cpu
  double wait_s = 0;        ///< lookup
  int in_flight = 1;        ///< lookup

  /// `20us of work, 3ms of waiting, 500 in flight, 2 workers`.
  std::string text() const;
};

/// A cell that was measured, in medians over its samples.
struct MeasuredCell {
  std::string name;  ///< of the cell
  std::string model;
  Point point;
  std::uint64_t events = 0;  ///< a sample
  double items_per_second = 0;
  double cpu_s_per_event = 0;
  double peak_rss_bytes = 0;
};

/// A place where events queue: a CPU time each needs, and by how many CPUs.
struct Station {
  double demand_s = 0;
  int servers = 1;
};

/// Events/s that go round in a closed network: `in_flight` of them, each in turn `delay_s` on its own and
/// then at every station. Approximate mean value analysis: an event finds the queue that the others alone
/// would have (Bard 1979; Schweitzer 1979), of which the one being served is half done, since demands are
/// fixed (Reiser, A Queueing Network Analysis of Computer Communication Networks, 1979); n servers are one
/// that is n times as fast and a delay for the rest (Seidmann, Schweitzer & Shalev-Oren 1987). Exact for one
/// in flight, and at both asymptotes: in_flight / (delay + demands) and servers / demand.
double closed_throughput(int in_flight, double delay_s, std::span<Station const> stations);

/// What limits a point.
enum class PointLimit { cpu, wait, service };
std::string_view name_of(PointLimit limit);

/// What a model adds, in words that a review can check. On cpu an event takes a worker
///
///     grain_factor * grain + (event_s + task_s / batch) * (1 + contention * (workers - 1))
///
/// On lookup it takes a CPU the same with event_s + doubling_s * log2(in_flight) in place of the first
/// bracket, and the service service_s, which has a CPU of its own where there is one beside the workers', and
/// else theirs; and it waits the wait, and delay_s, for nobody.
struct Costs {
  double grain_factor = 1;
  double event_s = 0;
  double task_s = 0;
  double doubling_s = 0;
  double contention = 0;
  double delay_s = 0;
  double service_s = 0;

  /// CPU time of an event at `point`, grain included, where the model's CPUs are never idle.
  double busy_s(Point const& point) const;
};

struct Prediction {
  double items_per_second = 0;
  double low = 0, high = 0;    ///< of events/s: holds with the confidence that the fit was asked for
  double cpu_s_per_event = 0;  ///< the model's
  double memory_bytes = 0;     ///< peak, events not included
  double latency_s = 0;        ///< mean time from when an event is taken in until it is counted
  PointLimit limit = PointLimit::cpu;
  double wait_limits_up_to = 0;  ///< lookup: so many in flight, about; then a CPU is full
};

/// How far a point is from those that were measured.
struct Distance {
  std::string nearest;       ///< the measured cell
  double factor = 1;         ///< greatest of the factors by which grain, wait and so on differ from it
  std::string differs_most;  ///< by which that is; empty if none does
  /// What lies beyond everything measured: `8 workers (measured: 1 to 2)`.
  std::vector<std::string> outside{};
};

/// One model on one stream, fitted.
class CostModel {
 public:
  /// The least cells that say anything of a model's costs.
  static constexpr std::size_t kLeastCells = 4;
  /// That an interval of the prediction aims at.
  static constexpr double kConfidence = 0.9;

  /// Fits to `cells`, all of one model and stream, measured on `cpus` CPUs in all, robustly (pseudo-Huber
  /// loss of the log of events/s). Costs that the cells cannot tell, such as contention where all have one
  /// worker, stay at what they are without. Throws std::invalid_argument below kLeastCells.
  CostModel(std::vector<MeasuredCell> cells, int cpus);

  /// `sequential` has one worker and one event in flight whatever the point says. Of more workers than there
  /// were CPUs, what a machine of as many CPUs would do.
  Prediction predict(Point const& point) const;
  Distance distance(Point const& point) const;
  Costs const& costs() const noexcept { return costs_; }
  /// Of cells left out of the fit, by five-fold cross-validation: the factor that so many of ten predictions
  /// are within. Vovk et al., Algorithmic Learning in a Random World, 2005 (conformal prediction).
  double typical_factor() const noexcept;
  std::vector<MeasuredCell> const& cells() const noexcept { return cells_; }

 private:
  Point own(Point const& point) const;

  std::vector<MeasuredCell> cells_;
  int cpus_;
  bool sequential_;
  Costs costs_;
  double residual_ = 0;  // of log events/s: kConfidence of predictions are within
  double idle_s_ = 0;    // CPU time that an event takes more where the CPU would be idle
  double memory_bytes_ = 0, memory_in_flight_bytes_ = 0;
};

}  // namespace tally
