// The cost model on machines whose truth is known: cells come from a simulation, event by event, that knows
// nothing of queueing theory.
#include "bench/advice/cost_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

#include "bench/advice/advice.hpp"
#include "bench/plan/slo.hpp"
#include "workloads/base/random.hpp"

namespace tally {
namespace {

/// A machine, and a model on it.
struct Truth {
  int cpus = 4;
  double cpu_s = 6e-6, doubling_s = 0.2e-6, contention = 0.1, delay_s = 40e-6, service_s = 4e-6;

  bool operator<(Truth const& other) const {
    auto const all = [](Truth const& t) {
      return std::tuple(t.cpus, t.cpu_s, t.doubling_s, t.contention, t.delay_s, t.service_s);
    };
    return all(*this) < all(other);
  }
  double busy_s(Point const& p) const {
    return p.grain_s + (cpu_s + doubling_s * std::log2(p.in_flight)) * (1 + contention * (p.workers - 1));
  }
};

/// Events/s of a closed network, by simulation: `in_flight` events, each of which waits (exponentially), is
/// served by one service, first come first served, and then by one of the CPUs.
double simulated(Truth const& truth, Point const& point, int events) {
  enum class At { service, cpu };
  struct Arrival {
    double time;
    At at;
    bool operator>(Arrival const& other) const { return time > other.time; }
  };
  std::priority_queue<Arrival, std::vector<Arrival>, std::greater<>> arrivals;
  std::priority_queue<double, std::vector<double>, std::greater<>> free_cpus;
  for (int c = 0; c < std::min(point.workers, truth.cpus); ++c) free_cpus.push(0);
  double service_free = 0, now = 0;
  std::uint64_t drawn = 0;
  auto const away = [&] {
    IndexedRandom random(7, drawn++);
    double const uniform = (static_cast<double>(random.below(1'000'000)) + 0.5) / 1e6;
    return -std::log(uniform) * point.wait_s + truth.delay_s;
  };
  for (int i = 0; i < point.in_flight; ++i) arrivals.push({away(), At::service});
  int done = 0;
  double half_at = 0;
  while (done < events) {
    Arrival const next = arrivals.top();
    arrivals.pop();
    now = next.time;
    if (next.at == At::service) {
      service_free = std::max(service_free, now) + truth.service_s;
      arrivals.push({service_free, At::cpu});
      continue;
    }
    double const begin = std::max(free_cpus.top(), now);
    free_cpus.pop();
    free_cpus.push(begin + truth.busy_s(point));
    arrivals.push({begin + truth.busy_s(point) + away(), At::service});
    if (++done == events / 2) half_at = begin;
    now = begin;
  }
  return (events - events / 2) / (now - half_at);
}

Point lookup(int workers, double grain_s, double wait_s, int in_flight) {
  return {.stream = StreamKind::lookup,
          .workers = workers,
          .grain_s = grain_s,
          .wait_s = wait_s,
          .in_flight = in_flight};
}

MeasuredCell measured(Truth const& truth, Point const& point, std::string const& model = "fibers") {
  return {.name = "lookup/" + model + "/" + point.text(),
          .model = model,
          .point = point,
          .events = 1000,
          .items_per_second = simulated(truth, point, 20'000),
          .cpu_s_per_event = truth.busy_s(point) + 2e-6,
          .peak_rss_bytes = 5e6 + 4096.0 * point.in_flight};
}

/// Simulated once for each truth: most tests have the same.
std::vector<MeasuredCell> const& grid(Truth const& truth, std::string const& model = "fibers") {
  static std::map<std::pair<Truth, std::string>, std::vector<MeasuredCell>> grids;
  std::vector<MeasuredCell>& cells = grids[{truth, model}];
  if (!cells.empty()) return cells;
  for (int const workers : {1, 2})
    for (double const grain_s : {0.0, 30e-6, 1e-3})
      for (double const wait_s : {100e-6, 1.5e-3, 20e-3})
        for (int const in_flight : {1, 32, 1024})
          cells.push_back(measured(truth, lookup(workers, grain_s, wait_s, in_flight), model));
  return cells;
}

double off(double one, double other) { return std::abs(std::log(one / other)); }

TEST(ClosedThroughput, OfOneInFlightIsTheSumOfItsTimes) {
  Station const stations[] = {{.demand_s = 2e-6, .servers = 1}, {.demand_s = 6e-6, .servers = 2}};
  EXPECT_NEAR(closed_throughput(1, 92e-6, stations), 10'000, 0.1);
}

TEST(ClosedThroughput, NearsBothAsymptotesAndExceedsNeither) {
  Station const stations[] = {{.demand_s = 10e-6, .servers = 2}};
  for (int n = 1; n <= 4096; n *= 2) {
    double const x = closed_throughput(n, 1e-3, stations);
    EXPECT_LE(x, n / 1.01e-3 * (1 + 1e-5)) << n;
    EXPECT_LE(x, 200'000 * (1 + 1e-5)) << n;
  }
  EXPECT_NEAR(closed_throughput(4, 1e-3, stations), 4 / 1.01e-3, 40);
  EXPECT_NEAR(closed_throughput(4096, 1e-3, stations), 200'000, 200);
}

TEST(ClosedThroughput, AgreesWithASimulationAtTheKnee) {
  Truth const truth{.contention = 0};
  for (int const in_flight : {50, 90, 120, 200}) {
    Point const point = lookup(1, 4e-6, 1e-3, in_flight);
    Station const stations[] = {{.demand_s = truth.busy_s(point), .servers = 1},
                                {.demand_s = truth.service_s}};
    EXPECT_LT(off(closed_throughput(in_flight, point.wait_s + truth.delay_s, stations),
                  simulated(truth, point, 100'000)),
              0.06)
        << in_flight;
  }
}

TEST(CostModel, FindsTheCostsOfAMachineThatItHasSeenInAGrid) {
  Truth const truth;
  CostModel const model(grid(truth), truth.cpus);
  EXPECT_LT(off(model.costs().event_s, truth.cpu_s), 0.2);
  EXPECT_NEAR(model.costs().contention, truth.contention, 0.06);
  EXPECT_LT(off(model.costs().delay_s, truth.delay_s), 0.2);
  EXPECT_NEAR(model.costs().grain_factor, 1, 0.03);
}

TEST(CostModel, PredictsPointsThatItHasNotSeen) {
  Truth const truth;
  CostModel const model(grid(truth), truth.cpus);
  int within = 0, held = 0, points = 0;
  for (int const workers : {1, 2})
    for (double const grain_s : {2e-6, 100e-6, 400e-6})
      for (double const wait_s : {300e-6, 6e-3})
        for (int const in_flight : {4, 150, 700}) {
          Point const point = lookup(workers, grain_s, wait_s, in_flight);
          double const truly = simulated(truth, point, 20'000);
          Prediction const p = model.predict(point);
          ++points;
          within += off(p.items_per_second, truly) < 0.1;
          held += truly >= p.low && truly <= p.high;
        }
  EXPECT_GE(within, 0.9 * points) << within << " of " << points << " within 10%";
  EXPECT_GE(held, 0.8 * points) << held << " of " << points << " in their interval";
}

TEST(CostModel, SaysWhatLimits) {
  Truth const truth;
  CostModel const model(grid(truth), truth.cpus);
  Prediction const few = model.predict(lookup(1, 20e-6, 3e-3, 30));
  EXPECT_EQ(few.limit, PointLimit::wait);
  // One CPU, 20 us of work and some 7 us around it, 3 ms of waiting: some 115 in flight fill it.
  EXPECT_LT(off(few.wait_limits_up_to, 115), 0.15);
  EXPECT_EQ(model.predict(lookup(1, 20e-6, 3e-3, 900)).limit, PointLimit::cpu);
  Truth const slow_service{.service_s = 60e-6};
  EXPECT_EQ(CostModel(grid(slow_service), truth.cpus).predict(lookup(1, 0, 1e-3, 900)).limit,
            PointLimit::service);
}

TEST(CostModel, KnowsMemoryAndCpuTime) {
  Truth const truth;
  CostModel const model(grid(truth), truth.cpus);
  EXPECT_LT(off(model.predict(lookup(1, 0, 1e-3, 500)).memory_bytes, 5e6 + 4096 * 500.0), 0.05);
  Point const busy = lookup(1, 30e-6, 1e-3, 1000);
  EXPECT_LT(off(model.predict(busy).cpu_s_per_event, truth.busy_s(busy)), 0.1);
}

TEST(CostModel, ASpoiledCellBendsLittle) {
  Truth const truth;
  auto cells = grid(truth);
  cells[40].items_per_second /= 5;
  CostModel const model(cells, truth.cpus);
  Point const point = lookup(2, 100e-6, 1e-3, 200);
  EXPECT_LT(off(model.predict(point).items_per_second, simulated(truth, point, 20'000)), 0.1);
}

TEST(CostModel, OfSequentialHasOneInFlightWhateverIsAsked) {
  Truth const truth{.contention = 0};
  std::vector<MeasuredCell> cells;
  for (double const grain_s : {0.0, 30e-6, 1e-3})
    for (double const wait_s : {100e-6, 1.5e-3, 20e-3})
      cells.push_back(measured(truth, lookup(1, grain_s, wait_s, 1), "sequential"));
  CostModel const model(cells, truth.cpus);
  EXPECT_LT(off(model.predict(lookup(4, 0, 5e-3, 1000)).items_per_second, 1 / 5.05e-3), 0.03);
  EXPECT_TRUE(model.distance(lookup(4, 0, 5e-3, 1000)).outside.empty());
}

TEST(CostModel, SaysWhereItLeavesWhatWasMeasured) {
  Truth const truth;
  CostModel const model(grid(truth), truth.cpus);
  Distance const far = model.distance(lookup(8, 5e-3, 1.5e-3, 32));
  ASSERT_EQ(far.outside.size(), 2u);
  EXPECT_EQ(far.outside[0], "workers 8 (measured: 1 to 2)");
  EXPECT_EQ(far.outside[1], "grain 5ms (measured: 0 to 1ms)");
  Distance const there = model.distance(lookup(2, 30e-6, 1.5e-3, 32));
  EXPECT_TRUE(there.outside.empty());
  EXPECT_TRUE(there.differs_most.empty());
  Distance const near = model.distance(lookup(2, 30e-6, 3e-3, 32));
  EXPECT_EQ(near.differs_most, "wait");
  EXPECT_NEAR(near.factor, 2, 1e-6);
  auto const width = [&](Point const& p) { return off(model.predict(p).high, model.predict(p).low); };
  EXPECT_GT(width(lookup(8, 30e-6, 1.5e-3, 32)), 2 * width(lookup(2, 30e-6, 1.5e-3, 32)));
}

TEST(CostModel, CountsWithoutWaiting) {
  // 3 ns an event and 100 ns a task, 5% more for each further worker; cells without any noise.
  auto const truly = [](Point const& p) {
    return p.workers /
           (p.grain_s + (3e-9 + 100e-9 / static_cast<double>(p.batch)) * (1 + 0.05 * (p.workers - 1)));
  };
  std::vector<MeasuredCell> cells;
  for (int const workers : {1, 2, 4})
    for (double const grain_s : {0.0, 100e-9, 10e-6})
      for (std::uint64_t const batch : {1ULL, 256ULL}) {
        Point const point{.stream = StreamKind::cpu, .workers = workers, .grain_s = grain_s, .batch = batch};
        cells.push_back({.name = point.text(),
                         .model = "fibers",
                         .point = point,
                         .events = 1000,
                         .items_per_second = truly(point),
                         .cpu_s_per_event = workers / truly(point),
                         .peak_rss_bytes = 16e3 + 3e6});
      }
  CostModel const model(cells, 4);
  Point const point{.stream = StreamKind::cpu, .workers = 3, .grain_s = 1e-6, .batch = 16};
  EXPECT_LT(off(model.predict(point).items_per_second, truly(point)), 0.02);
  EXPECT_LT(off(model.predict(point).memory_bytes, 3e6), 0.01);
}

TEST(CostModel, OfTooFewCellsIsNone) {
  Truth const truth;
  auto cells = grid(truth);
  cells.resize(CostModel::kLeastCells - 1);
  EXPECT_THROW(CostModel(cells, truth.cpus), std::invalid_argument);
}

/// A file with two models: fibers, and threads whose events cost 30 us more CPU and a megabyte.
std::vector<ResultFile> two_models() {
  Truth const light, heavy{.cpu_s = 36e-6};
  ResultFile file;
  file.cpus = light.cpus;
  file.wait_distribution = WaitDistribution::exponential;
  file.cells = grid(light);
  for (MeasuredCell cell : grid(heavy, "thread_pool")) {
    cell.peak_rss_bytes += 1e6 * cell.point.in_flight;
    file.cells.push_back(cell);
  }
  return {file};
}

TEST(Advice, RanksByWhatEachWouldDo) {
  Advice const advice =
      advise(two_models(), {.point = lookup(1, 0, 1e-3, 1000), .slo = {}, .memory_bytes = {}});
  ASSERT_EQ(advice.models.size(), 2u);
  EXPECT_EQ(advice.models[0].model, "fibers");
  EXPECT_EQ(advice.models[0].rank, 1);
  EXPECT_EQ(advice.models[1].rank, 2);
  EXPECT_FALSE(advice.models[1].shares_rank);
  EXPECT_NE(advice.models[0].why.find("limited by CPU"), std::string::npos) << advice.models[0].why;
}

TEST(Advice, ThatCannotTellModelsApartSaysSo) {
  Advice const advice =
      advise(two_models(), {.point = lookup(1, 0, 20e-3, 10), .slo = {}, .memory_bytes = {}});
  EXPECT_EQ(advice.models[1].rank, 1);
  EXPECT_TRUE(advice.models[1].shares_rank);
  EXPECT_NE(advice.models[0].why.find("limited by the wait up to"), std::string::npos)
      << advice.models[0].why;
}

TEST(Advice, ExcludesWhatTakesTooMuchMemoryOrTime) {
  auto const files = two_models();
  Advice const small =
      advise(files, {.point = lookup(1, 0, 1e-3, 1000), .slo = {}, .memory_bytes = 256'000'000});
  EXPECT_EQ(small.models[1].model, "thread_pool");
  EXPECT_EQ(small.models[1].rank, 0);
  EXPECT_NE(small.models[1].why.find("of memory, over"), std::string::npos) << small.models[1].why;
  // 1,000 in flight at 37 us each go round in 37 ms.
  Advice const soon = advise(
      files, {.point = lookup(1, 0, 1e-3, 1000), .slo = parse_slo("--slo", "p99=20ms"), .memory_bytes = {}});
  EXPECT_EQ(soon.models[0].rank, 1);
  EXPECT_EQ(soon.models[1].rank, 0);
  EXPECT_NE(soon.models[1].why.find("p99 would be"), std::string::npos) << soon.models[1].why;
  EXPECT_EQ(soon.contradiction, "");
}

TEST(Advice, SaysThatNoModelCanBeFasterThanTheWait) {
  Advice const advice =
      advise(two_models(),
             {.point = lookup(1, 0, 3e-3, 100), .slo = parse_slo("--slo", "p99=5ms"), .memory_bytes = {}});
  EXPECT_NE(advice.contradiction.find("p99 of the wait alone is 13.8 ms"), std::string::npos)
      << advice.contradiction;
  for (ModelAdvice const& model : advice.models) EXPECT_EQ(model.rank, 0);
}

TEST(Advice, OnAStreamThatNobodyMeasuredIsNone) {
  Point const cpu{.stream = StreamKind::cpu};
  EXPECT_THROW(advise(two_models(), {.point = cpu, .slo = {}, .memory_bytes = {}}), std::invalid_argument);
}

}  // namespace
}  // namespace tally
