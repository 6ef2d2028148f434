#include "bench/advice/map_plan.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "bench/analysis/campaign_result.hpp"
#include "bench/base/units.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

/// Events of a task where they are counted and nothing else, beside tasks of one event.
constexpr std::uint64_t kLargeBatch = 256;
/// With so many times the events in flight that the waits can hide, the CPUs are full, and stay it.
constexpr double kLongFull = 32;
/// A lookup takes so much CPU time whatever its grain.
constexpr auto kEventAtLeast = 5us;
/// A middle between nothing and something is sought down to these: less is lost in an event's own costs.
constexpr std::chrono::nanoseconds kLeastGrain_cpu = 10ns, kLeastGrain_lookup = 1us, kLeastWait = 50us;

double ns_of(std::chrono::nanoseconds d) { return static_cast<double>(d.count()); }

/// Whether the CPUs of `workers` have been full since many fewer were in flight.
bool is_long_full(int workers, int in_flight, std::chrono::nanoseconds grain, std::chrono::nanoseconds wait) {
  double const work_ns = ns_of(grain + kEventAtLeast);
  return in_flight > kLongFull * workers * (ns_of(wait) + work_ns) / work_ns;
}

Group lookup_group(int workers, int in_flight, std::chrono::nanoseconds grain,
                   std::chrono::nanoseconds wait) {
  Group group;
  group.stream = StreamKind::lookup;
  group.workers = workers;
  group.in_flight = in_flight;
  group.grain = grain;
  group.wait = wait;
  return group;
}

Group cpu_group(int workers, std::chrono::nanoseconds grain, std::uint64_t batch) {
  Group group;
  group.stream = StreamKind::cpu;
  group.workers = workers;
  group.grain = grain;
  group.batch = batch;
  return group;
}

bool is_among(std::vector<std::size_t> const& cells, Model const* model, CampaignResult const& result) {
  return std::any_of(cells.begin(), cells.end(),
                     [&](std::size_t cell) { return result.cells[cell].cell.model == model; });
}

/// Two leading digits, so that names stay short.
std::chrono::nanoseconds rounded(double ns) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(two_digits(ns)));
}

double least_grain_ns(Group const& group) {
  return ns_of(group.stream == StreamKind::cpu ? kLeastGrain_cpu : kLeastGrain_lookup);
}

}  // namespace

std::vector<Group> coarse_points(MapAxes const& axes) {
  std::vector<Group> groups;
  for (int const workers : axes.workers) {
    for (auto const wait : axes.waits) {
      if (wait.count() == 0) {
        for (auto const grain : axes.grains) {
          groups.push_back(cpu_group(workers, grain, 1));
          if (grain.count() == 0) groups.push_back(cpu_group(workers, grain, kLargeBatch));
        }
        continue;
      }
      for (int const in_flight : axes.in_flights) {
        if (in_flight == 1 && workers != axes.workers.front()) continue;
        for (auto const grain : axes.grains)
          if (!is_long_full(workers, in_flight, grain, wait))
            groups.push_back(lookup_group(workers, in_flight, grain, wait));
      }
    }
  }
  return groups;
}

std::vector<MapPoint> judge_points(CampaignResult const& result) {
  std::vector<MapPoint> points;
  for (Group const& group : result.plan.groups) {
    std::vector<std::size_t> known;
    std::size_t outrun = 0;
    for (std::size_t const i : group.cells) {
      CellResult const& cell = result.cells[i];
      if (!cell.cell.model->candidate || !cell.failure.empty()) continue;
      if (cell.closed == Closed::outrun)
        ++outrun;
      else if (cell.samples.size() >= static_cast<std::size_t>(kLeastValues))
        known.push_back(i);
    }
    if (known.empty() || known.size() + outrun < 2) continue;
    std::stable_sort(known.begin(), known.end(), [&](std::size_t a, std::size_t b) {
      return result.cells[a].throughput()->median > result.cells[b].throughput()->median;
    });
    MapPoint point{.group = &group, .leaders = {known.front()}, .lead = {}};
    double const least_lead = 1 + result.cells[known.front()].luck_of_waits();
    for (std::size_t const i : known) {
      if (i == known.front()) continue;
      auto const ratio = result.ratio(known.front(), i);
      bool const apart = ratio && ratio->holds() && ratio->low > least_lead;
      if (!apart) {
        point.leaders.push_back(i);
      } else if (!point.has_next) {
        point.has_next = true;
        point.next = i;
        point.lead = *ratio;
      }
    }
    points.push_back(std::move(point));
  }
  return points;
}

namespace {

/// Points that differ in one axis alone, in order of it.
template <class Line, class Value>
std::vector<std::vector<MapPoint const*>> lines(std::vector<MapPoint> const& points, Line line, Value value) {
  std::map<decltype(line(*points.front().group)), std::vector<MapPoint const*>> found;
  for (MapPoint const& point : points) found[line(*point.group)].push_back(&point);
  std::vector<std::vector<MapPoint const*>> sorted;
  for (auto& [of, on_line] : found) {
    std::sort(on_line.begin(), on_line.end(),
              [&](MapPoint const* a, MapPoint const* b) { return value(*a->group) < value(*b->group); });
    sorted.push_back(std::move(on_line));
  }
  return sorted;
}

}  // namespace

std::vector<Border> borders(CampaignResult const& result, std::vector<MapPoint> const& points) {
  std::vector<Border> found;
  if (points.empty()) return found;
  auto const disagree = [&](MapPoint const& a, MapPoint const& b) {
    return std::none_of(a.leaders.begin(), a.leaders.end(), [&](std::size_t cell) {
      return is_among(b.leaders, result.cells[cell].cell.model, result);
    });
  };
  auto const add = [&](auto const& all_lines, bool in_grain) {
    for (auto const& line : all_lines) {
      for (std::size_t i = 0; i + 1 < line.size(); ++i) {
        Group const &a = *line[i]->group, &b = *line[i + 1]->group;
        if (!disagree(*line[i], *line[i + 1])) continue;
        double const least = in_grain ? least_grain_ns(a) : ns_of(kLeastWait);
        double const low = std::max(least, ns_of(in_grain ? a.grain : a.wait));
        double const high = std::max(least, ns_of(in_grain ? b.grain : b.wait));
        found.push_back({.low = line[i], .high = line[i + 1], .in_grain = in_grain, .factor = high / low});
      }
    }
  };
  add(lines(
          points,
          [](Group const& g) { return std::tuple(g.stream, g.workers, g.in_flight, g.wait, g.batch); },
          [](Group const& g) { return g.grain; }),
      true);
  add(lines(
          points,
          [](Group const& g) {
            // Events that do not wait are another stream: there is no way from them to waits.
            return std::tuple(g.stream, g.workers, g.in_flight, g.grain, g.batch);
          },
          [](Group const& g) { return g.wait; }),
      false);
  std::stable_sort(found.begin(), found.end(),
                   [](Border const& a, Border const& b) { return a.factor > b.factor; });
  return found;
}

std::vector<Group> refining_points(CampaignResult const& result, double factor, std::size_t most) {
  std::vector<MapPoint> const points = judge_points(result);
  std::set<std::string> there;
  for (Group const& group : result.plan.groups) there.insert(group.name());
  std::vector<Group> wanted;
  for (Border const& border : borders(result, points)) {
    if (border.factor <= factor || wanted.size() >= most) break;
    Group const& a = *border.low->group;
    double const low = border.in_grain ? std::max(least_grain_ns(a), ns_of(a.grain))
                                       : std::max(ns_of(kLeastWait), ns_of(a.wait));
    auto const middle = rounded(low * std::sqrt(border.factor));
    Group const group = a.stream == StreamKind::cpu ? cpu_group(a.workers, middle, a.batch)
                        : border.in_grain           ? lookup_group(a.workers, a.in_flight, middle, a.wait)
                                                    : lookup_group(a.workers, a.in_flight, a.grain, middle);
    if (there.insert(group.name()).second) wanted.push_back(group);
  }
  return wanted;
}

std::vector<std::size_t> cells_to_tell_apart(CampaignResult const& result, std::size_t most_samples) {
  std::vector<std::size_t> cells;
  for (MapPoint const& point : judge_points(result)) {
    if (point.separated()) continue;
    bool const had_enough = std::any_of(point.leaders.begin(), point.leaders.end(), [&](std::size_t cell) {
      return result.cells[cell].samples.size() >= most_samples;
    });
    if (!had_enough) cells.insert(cells.end(), point.leaders.begin(), point.leaders.end());
  }
  return cells;
}

}  // namespace tally
