// Which model wins where: points of a grid, and then between neighbours that disagree.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "bench/analysis/campaign_result.hpp"

namespace tally {

/// The axes of a map before it is refined. No wait stands for events that do not wait: stream cpu.
struct MapAxes {
  std::vector<int> workers;
  std::vector<int> in_flights;
  std::vector<std::chrono::nanoseconds> grains;
  std::vector<std::chrono::nanoseconds> waits;  ///< 0: stream cpu
};

/// The groups, without cells, at which every combination of the axes is measured. Where events do not wait,
/// each is a task; without a grain, tasks of many events stand beside these, so that what an event and what a
/// task costs can be told apart. Left out are those that say what a neighbour says: one in flight on more
/// than one worker, and so many in flight that the CPUs have been full for long.
std::vector<Group> coarse_points(MapAxes const& axes);

/// A point that was measured.
struct MapPoint {
  Group const* group = nullptr;
  /// The models that the point cannot tell from the fastest, which is first.
  std::vector<std::size_t> leaders;
  std::size_t next = 0;  ///< the fastest that is not among them; the winner's lead is over it
  bool has_next = false;
  Interval lead;  ///< the fastest over `next`, round by round

  bool separated() const { return leaders.size() == 1; }
};

/// What the campaign says of every group in which a model has rounds enough, and there is another to compare
/// it with: one with rounds enough too, or one that was outrun. Models that failed have no part in it, nor
/// has `limit`. Nor is a lead one that the end of a sample may have made, at which nothing is left but to
/// wait (DrawnWaits). In the order of the plan's groups.
std::vector<MapPoint> judge_points(CampaignResult const& result);

/// Between two neighbours in grain or in wait, all else the same: no model is among the fastest at both.
struct Border {
  MapPoint const* low = nullptr;
  MapPoint const* high = nullptr;
  bool in_grain = false;  ///< else in wait
  double factor = 1;      ///< by which the two differ: how well the border is known
};

/// All borders between `points` of the campaign, which must outlive them; those known worst first.
std::vector<Border> borders(CampaignResult const& result, std::vector<MapPoint> const& points);
std::vector<Border> borders(CampaignResult const& result, std::vector<MapPoint>&& points) = delete;

/// The groups to measure next: the middles of borders that are known worse than by `factor`, at most `most`.
std::vector<Group> refining_points(CampaignResult const& result, double factor, std::size_t most);

/// The cells that are among the fastest of points that have no one winner, and have fewer than
/// `most_samples`: more rounds may tell them apart.
std::vector<std::size_t> cells_to_tell_apart(CampaignResult const& result, std::size_t most_samples);

}  // namespace tally
