#include "bench/advice/cost_model.hpp"

#include <nlopt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

#include "bench/base/units.hpp"
#include "bench/machine/reference_figures.hpp"

namespace tally {
namespace {

/// A cost that is fitted: where it begins, between what it must stay, and by how much it is held to where it
/// began where the cells do not tell. Those that are times are fitted by their logarithm.
struct Fitted {
  double Costs::*cost;
  bool logarithm;
  double start, least, most;
  double spread;  // of the prior, in the units that are fitted
};

/// Of log events/s: residuals beyond this count in proportion, not squared, so that a cell that a stall of
/// the machine spoiled bends nothing.
constexpr double kHuber = 0.1;
constexpr double kPriorWeight = 1e-4;
/// Of the log of CPU time: so much of what keeps a CPU busy may be in no process's account (interrupts, the
/// hypervisor).
constexpr double kNotAccounted = 0.25;
constexpr int kFolds = 5;
/// A grain, or wait, below this differs from none by nothing that counts.
constexpr double kLeastGrain_s = 100e-9, kLeastWait_s = 10e-6;
/// An event of the cpu stream in memory, which is not the model's.
constexpr double kEventBytes = 16;

double pseudo_huber(double residual) {
  double const x = residual / kHuber;
  return kHuber * kHuber * (std::sqrt(1 + x * x) - 1);
}

double capacity(Point const& point, int cpus) { return std::max(1, std::min(point.workers, cpus)); }

/// The stations of a lookup, and the time that passes at none.
struct Network {
  std::vector<Station> stations;
  double delay_s;
  bool service_apart;
};

Network network(Costs const& costs, Point const& point, int cpus) {
  // The service has the last CPU for itself where the workers leave it one.
  bool const apart = point.workers < cpus;
  double const busy_s = costs.busy_s(point);
  Network net{.stations = {{.demand_s = busy_s + (apart ? 0 : costs.service_s),
                            .servers = static_cast<int>(capacity(point, cpus))}},
              .delay_s = point.wait_s + costs.delay_s,
              .service_apart = apart};
  if (apart) net.stations.push_back({.demand_s = costs.service_s, .servers = 1});
  return net;
}

double throughput(Costs const& costs, Point const& point, int cpus) {
  if (point.stream == StreamKind::cpu) return capacity(point, cpus) / costs.busy_s(point);
  Network const net = network(costs, point, cpus);
  return closed_throughput(point.in_flight, net.delay_s, net.stations);
}

template <class Get>
std::size_t distinct(std::span<MeasuredCell const> cells, Get get) {
  std::set<double> values;
  for (MeasuredCell const& cell : cells) values.insert(static_cast<double>(get(cell.point)));
  return values.size();
}

double median(std::vector<double> values) {
  auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// The costs that the cells can tell.
std::vector<Fitted> fitted_costs(std::span<MeasuredCell const> cells) {
  double least_cpu_s = 1e-3, least_time_s = 1e-3;
  for (MeasuredCell const& cell : cells) {
    least_cpu_s = std::min(least_cpu_s, cell.cpu_s_per_event - cell.point.grain_s);
    least_time_s = std::min(least_time_s, cell.point.workers / cell.items_per_second - cell.point.grain_s);
  }
  bool const waits = cells.front().point.stream == StreamKind::lookup;
  double const most_s = waits ? 1e-2 : 1e-4, least_s = waits ? 1e-8 : 1e-11;
  double const start_s = std::clamp(waits ? least_cpu_s : least_time_s, 2 * least_s, most_s / 2);
  std::vector<Fitted> fitted{{&Costs::event_s, true, start_s, least_s, most_s, 3}};
  auto const add = [&](Fitted const& cost) { fitted.push_back(cost); };
  if (distinct(cells, [](Point const& p) { return p.grain_s; }) > 1)
    add({&Costs::grain_factor, false, 1, 0.7, 1.5, 0.3});
  if (distinct(cells, [](Point const& p) { return p.workers; }) > 1)
    add({&Costs::contention, false, 0, -0.4, 4, 1});
  if (!waits) {
    if (distinct(cells, [](Point const& p) { return p.batch; }) > 1)
      add({&Costs::task_s, true, 1e-7, 1e-10, 1e-3, 3});
    return fitted;
  }
  add({&Costs::delay_s, true, 3e-5, 1e-7, 1e-2, 3});
  add({&Costs::service_s, true, 4e-6, 1e-7, 1e-3, 2});
  if (distinct(cells, [](Point const& p) { return p.in_flight; }) > 2)
    add({&Costs::doubling_s, true, start_s / 30, 1e-10, 1e-3, 3});
  return fitted;
}

/// What the minimizer is given: the cells, and how numbers become costs.
struct CostProblem {
  std::vector<Fitted> const& fitted;
  std::vector<MeasuredCell const*> cells;
  int cpus;

  Costs costs(double const* x) const {
    Costs costs;
    for (std::size_t i = 0; i < fitted.size(); ++i)
      costs.*fitted[i].cost = fitted[i].logarithm ? std::exp(x[i]) : x[i];
    return costs;
  }
  double number(Fitted const& f, double value) const { return f.logarithm ? std::log(value) : value; }
  double loss(double const* x) const {
    Costs const tried = costs(x);
    double sum = 0;
    for (MeasuredCell const* cell : cells) {
      sum += pseudo_huber(std::log(throughput(tried, cell->point, cpus) / cell->items_per_second));
      // Else a slow service and a slow model would be the same to a single worker.
      double const too_busy =
          std::log(tried.busy_s(cell->point) / std::max(cell->cpu_s_per_event, 1e-12)) - kNotAccounted;
      if (too_busy > 0) sum += pseudo_huber(too_busy);
    }
    double prior = 0;
    for (std::size_t i = 0; i < fitted.size(); ++i) {
      double const off = (x[i] - number(fitted[i], fitted[i].start)) / fitted[i].spread;
      prior += off * off;
    }
    return sum / static_cast<double>(cells.size()) + kPriorWeight * prior;
  }
};

double loss_of_costs(unsigned, double const* x, double*, void* problem) {
  return static_cast<CostProblem const*>(problem)->loss(x);
}

/// The costs with the least loss near `start`: Subplex (Rowan 1990), which needs no derivatives, by NLopt.
std::vector<double> least_loss(CostProblem const& problem, std::vector<double> x) {
  auto const n = static_cast<unsigned>(problem.fitted.size());
  std::vector<double> least, most, step;
  for (Fitted const& f : problem.fitted) {
    least.push_back(problem.number(f, f.least));
    most.push_back(problem.number(f, f.most));
    step.push_back(f.logarithm ? 0.5 : 0.05);
  }
  nlopt_opt const search = nlopt_create(NLOPT_LN_SBPLX, n);
  if (search == nullptr) throw std::bad_alloc();
  nlopt_set_lower_bounds(search, least.data());
  nlopt_set_upper_bounds(search, most.data());
  nlopt_set_initial_step(search, step.data());
  nlopt_set_min_objective(search, loss_of_costs, const_cast<CostProblem*>(&problem));
  nlopt_set_xtol_rel(search, 1e-4);
  nlopt_set_maxeval(search, 1500);
  double loss = 0;
  nlopt_optimize(search, x.data(), &loss);  // where it ends early, it is at the best point it has seen
  nlopt_destroy(search);
  return x;
}

std::string counted(int n, std::string const& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

std::string spell_seconds(double seconds) {
  return format_duration(std::chrono::nanoseconds(std::llround(seconds * 1e9)));
}

}  // namespace

std::string Point::text() const {
  std::string text = spell_seconds(grain_s) + " of work";
  if (stream == StreamKind::cpu)
    return text + ", batches of " + std::to_string(batch) + ", " + counted(workers, "worker");
  return text + ", " + spell_seconds(wait_s) + " of waiting, " + std::to_string(in_flight) + " in flight, " +
         counted(workers, "worker");
}

std::string_view name_of(PointLimit limit) {
  switch (limit) {
    case PointLimit::cpu:
      return "CPU";
    case PointLimit::wait:
      return "wait";
    case PointLimit::service:
      return "service";
  }
  return "";
}

double closed_throughput(int in_flight, double delay_s, std::span<Station const> stations) {
  double const n = in_flight, others = (n - 1) / n;
  double high = std::numeric_limits<double>::infinity(), demands_s = 0;
  for (Station const& s : stations) {
    demands_s += s.demand_s;
    if (s.demand_s > 0) high = std::min(high, s.servers / s.demand_s);
  }
  high = std::min(high, n / (delay_s + demands_s));
  // How many are in flight where so many events/s go round: it grows with them.
  auto const circulating = [&](double x) {
    double time_s = delay_s;
    for (Station const& s : stations) {
      double const each_s = s.demand_s / s.servers;
      double const busy = others * std::min(x * each_s, 1.0);
      time_s += s.demand_s - each_s + each_s * (1 - busy / 2) / std::max(1 - busy, 1e-12);
    }
    return x * time_s;
  };
  double low = 0;
  while (high - low > 1e-6 * high) {
    double const middle = (low + high) / 2;
    (circulating(middle) < n ? low : high) = middle;
  }
  return (low + high) / 2;
}

double Costs::busy_s(Point const& point) const {
  double const added_s =
      point.stream == StreamKind::cpu
          ? event_s + task_s / static_cast<double>(std::max<std::uint64_t>(point.batch, 1))
          : event_s + doubling_s * std::log2(static_cast<double>(std::max(point.in_flight, 1)));
  return grain_factor * point.grain_s + added_s * std::max(0.1, 1 + contention * (point.workers - 1));
}

CostModel::CostModel(std::vector<MeasuredCell> cells, int cpus) : cells_(std::move(cells)), cpus_(cpus) {
  if (cells_.size() < kLeastCells)
    throw std::invalid_argument(std::to_string(cells_.size()) + " measured cells, of which it takes " +
                                std::to_string(kLeastCells) + " to know a model's costs");
  sequential_ = cells_.front().model == "sequential";
  std::sort(cells_.begin(), cells_.end(),
            [](MeasuredCell const& a, MeasuredCell const& b) { return a.name < b.name; });
  auto const fitted = fitted_costs(cells_);
  auto const fit_without = [&](int fold, std::vector<double> const& start) {
    CostProblem problem{fitted, {}, cpus_};
    for (std::size_t i = 0; i < cells_.size(); ++i)
      if (static_cast<int>(i % kFolds) != fold) problem.cells.push_back(&cells_[i]);
    return least_loss(problem, start);
  };
  CostProblem const all{fitted, {}, cpus_};
  std::vector<double> start;
  for (Fitted const& f : fitted) start.push_back(all.number(f, f.start));
  // Twice: Subplex that begins anew where it ended finds the way out of a corner.
  std::vector<double> const best = fit_without(-1, fit_without(-1, start));
  costs_ = all.costs(best.data());

  std::vector<double> residuals;
  for (int fold = 0; fold < kFolds; ++fold) {
    Costs const costs = all.costs(fit_without(fold, best).data());
    for (std::size_t i = static_cast<std::size_t>(fold); i < cells_.size(); i += kFolds)
      residuals.push_back(
          std::abs(std::log(throughput(costs, cells_[i].point, cpus_) / cells_[i].items_per_second)));
  }
  std::sort(residuals.begin(), residuals.end());
  auto const rank =
      static_cast<std::size_t>(std::ceil(kConfidence * static_cast<double>(residuals.size() + 1)));
  residual_ = residuals[std::min(rank, residuals.size()) - 1];

  double over = 0, idle = 0;
  std::vector<double> memory;
  std::vector<double> slopes;
  for (MeasuredCell const& cell : cells_) {
    double const busy_s = costs_.busy_s(cell.point);
    double const share = 1 - std::min(1.0, cell.items_per_second * busy_s / capacity(cell.point, cpus_));
    over += (cell.cpu_s_per_event - busy_s) * share;
    idle += share * share;
    for (MeasuredCell const& other : cells_)
      if (other.point.in_flight >= 2 * cell.point.in_flight)
        slopes.push_back((other.peak_rss_bytes - cell.peak_rss_bytes) /
                         (other.point.in_flight - cell.point.in_flight));
  }
  idle_s_ = idle > 1e-6 ? std::max(0.0, over / idle) : 0;
  bool const waits = cells_.front().point.stream == StreamKind::lookup;
  if (!slopes.empty()) memory_in_flight_bytes_ = std::max(0.0, median(slopes));
  for (MeasuredCell const& cell : cells_)
    memory.push_back(cell.peak_rss_bytes - (waits ? memory_in_flight_bytes_ * cell.point.in_flight
                                                  : kEventBytes * static_cast<double>(cell.events)));
  memory_bytes_ = std::max(0.0, median(memory));
}

Point CostModel::own(Point const& point) const {
  Point mine = point;
  if (sequential_) mine.workers = mine.in_flight = 1;
  return mine;
}

double CostModel::typical_factor() const noexcept { return std::exp(residual_); }

Prediction CostModel::predict(Point const& asked) const {
  Point const point = own(asked);
  // More workers than the machine has CPUs are asked of a machine that has as many.
  int const cpus = std::max(cpus_, point.workers);
  Prediction p;
  p.items_per_second = throughput(costs_, point, cpus);
  // Beyond what was measured, every doubling is as uncertain again.
  double doublings = 0;
  auto const reach = [&](auto get, double least) {
    double low = std::numeric_limits<double>::infinity(), high = 0;
    for (MeasuredCell const& cell : cells_) {
      low = std::min(low, std::max(least, static_cast<double>(get(cell.point))));
      high = std::max(high, std::max(least, static_cast<double>(get(cell.point))));
    }
    double const here = std::max(least, static_cast<double>(get(point)));
    doublings += std::max({0.0, std::log2(here / high), std::log2(low / here)});
  };
  reach([](Point const& q) { return q.workers; }, 1);
  reach([](Point const& q) { return q.grain_s; }, kLeastGrain_s);
  if (point.stream == StreamKind::lookup) {
    reach([](Point const& q) { return q.wait_s; }, kLeastWait_s);
    reach([](Point const& q) { return q.in_flight; }, 1);
  }
  double const reaches = residual_ * (1 + doublings);
  p.low = p.items_per_second * std::exp(-reaches);
  p.high = p.items_per_second * std::exp(reaches);

  double const busy_s = costs_.busy_s(point);
  double const share = std::min(1.0, p.items_per_second * busy_s / capacity(point, cpus));
  p.cpu_s_per_event = busy_s + idle_s_ * (1 - share);
  p.memory_bytes = memory_bytes_ + memory_in_flight_bytes_ * point.in_flight;
  if (point.stream == StreamKind::cpu) {
    p.memory_bytes = memory_bytes_;
    p.latency_s = busy_s;
    return p;
  }
  p.latency_s = point.in_flight / p.items_per_second;
  Network const net = network(costs_, point, cpus);
  double most = std::numeric_limits<double>::infinity(), time_s = net.delay_s;
  for (std::size_t i = 0; i < net.stations.size(); ++i) {
    Station const& s = net.stations[i];
    time_s += s.demand_s;
    double const asymptote = s.servers / s.demand_s;
    if (asymptote < most) {
      most = asymptote;
      p.limit = i == 0 ? PointLimit::cpu : PointLimit::service;
    }
  }
  p.wait_limits_up_to = most * time_s;
  if (point.in_flight < p.wait_limits_up_to) p.limit = PointLimit::wait;
  return p;
}

Distance CostModel::distance(Point const& asked) const {
  Point const point = own(asked);
  struct Axis {
    std::string name;
    double (*get)(Point const&);
    double least;
    bool seconds;
  };
  std::vector<Axis> axes{{"workers", [](Point const& p) { return static_cast<double>(p.workers); }, 1, false},
                         {"grain", [](Point const& p) { return p.grain_s; }, kLeastGrain_s, true}};
  if (point.stream == StreamKind::cpu) {
    axes.push_back({"batch", [](Point const& p) { return static_cast<double>(p.batch); }, 1, false});
  } else {
    axes.push_back({"wait", [](Point const& p) { return p.wait_s; }, kLeastWait_s, true});
    axes.push_back({"in flight", [](Point const& p) { return static_cast<double>(p.in_flight); }, 1, false});
  }
  auto const factor = [](Axis const& axis, Point const& a, Point const& b) {
    return std::abs(std::log(std::max(axis.get(a), axis.least) / std::max(axis.get(b), axis.least)));
  };
  Distance found;
  double least = std::numeric_limits<double>::infinity();
  MeasuredCell const* nearest = nullptr;
  for (MeasuredCell const& cell : cells_) {
    double sum = 0;
    for (Axis const& axis : axes) sum += factor(axis, point, cell.point);
    if (sum < least) {
      least = sum;
      nearest = &cell;
    }
  }
  found.nearest = nearest->name;
  for (Axis const& axis : axes) {
    if (double const by = std::exp(factor(axis, point, nearest->point)); by > found.factor * (1 + 1e-9)) {
      found.factor = by;
      found.differs_most = axis.name;
    }
    auto const [low, high] = std::minmax_element(
        cells_.begin(), cells_.end(),
        [&](MeasuredCell const& a, MeasuredCell const& b) { return axis.get(a.point) < axis.get(b.point); });
    double const from = axis.get(low->point), to = axis.get(high->point), here = axis.get(point);
    if (here >= from * (1 - 1e-9) && here <= to * (1 + 1e-9)) continue;
    auto const spell = [&](double value) {
      return axis.seconds ? spell_seconds(value) : std::to_string(std::llround(value));
    };
    found.outside.push_back(axis.name + " " + spell(here) + " (measured: " + spell(from) +
                            (from < to ? " to " + spell(to) : "") + ")");
  }
  return found;
}

}  // namespace tally
