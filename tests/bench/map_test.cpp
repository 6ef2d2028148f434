// Where a map measures, what it makes of that, and where it measures next.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>

#include "bench/advice/map_plan.hpp"
#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/campaign/campaign.hpp"
#include "bench/campaign/rounds.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "tests/bench/bench_models.hpp"
#include "tests/bench/quick_campaign.hpp"
#include "tests/broken/broken_models.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

Model const& kThreads = kTestModels[1];
Model const& kFibers = kTestModels[3];

/// A campaign with `fibers` and `threads` at every group, six rounds each, as fast as `speed(model, group)`
/// says.
template <class Speed>
CampaignResult measured_map(std::vector<Group> groups, Speed const& speed, double spread = 0.001) {
  CampaignResult result;
  for (Group group : groups) {
    for (Model const* const model : {&kThreads, &kFibers}) {
      CellResult cell;
      cell.cell = {group, model};
      cell.analytic_bound = INFINITY;
      for (int round = 0; round < 6; ++round) {
        Sample sample;
        sample.round = round;
        sample.events = 1'000'000;
        // The spread of the one goes the other way than that of the other.
        double const off = spread * (round - 2.5) * (model == &kThreads ? 1 : -1);
        sample.elapsed =
            std::chrono::nanoseconds(static_cast<std::int64_t>(1e15 / (speed(*model, group) * (1 + off))));
        cell.samples.push_back(sample);
      }
      group.cells.push_back(result.cells.size());
      result.plan.cells.push_back(cell.cell);
      result.cells.push_back(std::move(cell));
    }
    result.plan.groups.push_back(group);
  }
  return result;
}

Group lookup_group(std::chrono::nanoseconds grain, std::chrono::nanoseconds wait) {
  Group group;
  group.stream = StreamKind::lookup;
  group.in_flight = 32;
  group.grain = grain;
  group.wait = wait;
  return group;
}

/// Fibers are twice as fast below 100 us of work, threads above.
double crossing(Model const& model, Group const& group) {
  return (&model == &kFibers) == (group.grain < 100us) ? 2000 : 1000;
}

TEST(Map, MeasuresEveryCombinationButThoseThatSayNothingNew) {
  auto const groups =
      coarse_points({.workers = {1, 2}, .in_flights = {1, 1000}, .grains = {0ns, 1ms}, .waits = {0ns, 1ms}});
  std::vector<std::string> names;
  for (Group const& group : groups) names.push_back(group.name());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{
                       "cpu/workers:1/grain_ns:0/batch:1", "cpu/workers:1/grain_ns:0/batch:256",
                       "cpu/workers:1/grain_ns:1000000/batch:1", "cpu/workers:2/grain_ns:0/batch:1",
                       "cpu/workers:2/grain_ns:0/batch:256", "cpu/workers:2/grain_ns:1000000/batch:1",
                       "lookup/workers:1/wait_us:1000/in_flight:1",
                       "lookup/workers:1/wait_us:1000/in_flight:1/grain_ns:1000000",
                       "lookup/workers:1/wait_us:1000/in_flight:1000",
                       "lookup/workers:2/wait_us:1000/in_flight:1000"}))
      << "one in flight needs no second worker; 1,000 events of 1 ms wait for a CPU";
}

TEST(Map, NamesTheWinnerAndItsLead) {
  CampaignResult const result = measured_map({lookup_group(0ns, 1ms)}, crossing);
  auto const points = judge_points(result);
  ASSERT_EQ(points.size(), 1u);
  EXPECT_TRUE(points[0].separated());
  EXPECT_EQ(result.cells[points[0].leaders[0]].cell.model, &kFibers);
  ASSERT_TRUE(points[0].has_next);
  EXPECT_NEAR(points[0].lead.median, 2, 0.01);
  EXPECT_TRUE(points[0].lead.holds());
}

TEST(Map, ModelsThatARoundMayTurnRoundAreNotSeparated) {
  CampaignResult const result = measured_map(
      {lookup_group(0ns, 1ms)}, [](Model const&, Group const&) { return 1000.0; }, 0.05);
  auto const points = judge_points(result);
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].leaders.size(), 2u);
  EXPECT_FALSE(points[0].has_next);
}

TEST(Map, ALeadThatTheEndOfASampleMayHaveMadeIsNone) {
  auto const leaders = [](std::uint64_t events) {
    CampaignResult result = measured_map({lookup_group(0ns, 10ms)}, [](Model const& model, Group const&) {
      return &model == &kFibers ? 2757.0 : 2650.0;
    });
    for (CellResult& cell : result.cells)
      cell.drawn_waits.emplace(WaitSpec{10ms, WaitDistribution::exponential}, 1, events, 32);
    return judge_points(result).at(0).leaders.size();
  };
  EXPECT_EQ(leaders(950), 2u) << "a sample of 35 waits, and some more until the last is over";
  EXPECT_EQ(leaders(1'000'000), 1u);
}

TEST(Map, LeavesOutWhatFailedOrHasTooFewRounds) {
  CampaignResult result = measured_map({lookup_group(0ns, 1ms), lookup_group(1us, 1ms)}, crossing);
  result.cells[0].failure = "crashed";
  result.cells[2].samples.resize(5);
  EXPECT_TRUE(judge_points(result).empty()) << "of neither is there a second model to compare with";
}

TEST(Map, AModelThatWasOutrunNeedsNoMoreRoundsToHaveLost) {
  CampaignResult result = measured_map({lookup_group(0ns, 1ms)}, crossing);
  result.options.outrun_by = 1.5;
  for (CellResult& cell : result.cells) {
    cell.samples.resize(kRoundsToOutrun);
    cell.closed = Closed::open;
  }
  close_outrun(result);
  EXPECT_EQ(result.cells[0].closed, Closed::outrun) << "threads, half as fast";
  EXPECT_EQ(result.cells[1].closed, Closed::open);
  EXPECT_TRUE(judge_points(result).empty()) << "who is left has not had its rounds";
  result.cells[1] = measured_map({lookup_group(0ns, 1ms)}, crossing).cells[1];
  auto const points = judge_points(result);
  ASSERT_EQ(points.size(), 1u);
  EXPECT_TRUE(points[0].separated());
  EXPECT_FALSE(points[0].has_next);
}

TEST(Map, NobodyIsOutrunInTwoRoundsNorByLess) {
  CampaignResult result = measured_map({lookup_group(0ns, 1ms)}, crossing);
  result.options.outrun_by = 2.5;
  close_outrun(result);
  EXPECT_EQ(result.cells[0].closed, Closed::open);
  result.options.outrun_by = 1.5;
  result.cells[0].samples.resize(2);
  close_outrun(result);
  EXPECT_EQ(result.cells[0].closed, Closed::open);
}

TEST(Map, HasMoreRoundsOfTheModelsThatAPointCannotTellApart) {
  CampaignResult const result = measured_map(
      {lookup_group(0ns, 1ms), lookup_group(30us, 1ms)}, [](Model const& model, Group const& group) {
        return &model == &kFibers && group.grain.count() > 0 ? 2000.0 : 1000.0;
      });
  EXPECT_EQ(cells_to_tell_apart(result, 24), (std::vector<std::size_t>{0, 1}))
      << "of 30us fibers have the lead";
  EXPECT_TRUE(cells_to_tell_apart(result, 6).empty()) << "who has had so many has no more";
}

TEST(Map, MeasuresNextBetweenNeighboursThatDisagree) {
  CampaignResult const result = measured_map(
      {lookup_group(0ns, 1ms), lookup_group(30us, 1ms), lookup_group(1ms, 1ms), lookup_group(0ns, 20ms)},
      crossing);
  auto const points = judge_points(result);
  auto const all = borders(result, points);
  ASSERT_EQ(all.size(), 1u) << "where the wait differs, nobody disagrees";
  EXPECT_TRUE(all[0].in_grain);
  EXPECT_NEAR(all[0].factor, 1000.0 / 30, 1e-9);
  auto const next = refining_points(result, 2, 8);
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].name(), "lookup/workers:1/wait_us:1000/in_flight:32/grain_ns:170000");
}

TEST(Map, NarrowsABorderUntilItIsKnownWellEnough) {
  std::vector<Group> groups{lookup_group(0ns, 1ms), lookup_group(1ms, 1ms)};
  for (int looks = 0; looks < 20; ++looks) {
    CampaignResult const result = measured_map(groups, crossing);
    auto const next = refining_points(result, 2, 8);
    if (next.empty()) {
      auto const points = judge_points(result);
      auto const all = borders(result, points);
      ASSERT_EQ(all.size(), 1u);
      EXPECT_LE(all[0].factor, 2);
      EXPECT_LT(all[0].low->group->grain, 100us);
      EXPECT_GE(all[0].high->group->grain, 100us);
      return;
    }
    groups.insert(groups.end(), next.begin(), next.end());
  }
  FAIL() << "it went on for ever";
}

TEST(Map, FindsBordersInTheWaitToo) {
  CampaignResult const result = measured_map(
      {lookup_group(0ns, 100us), lookup_group(0ns, 20ms)},
      [](Model const& m, Group const& g) { return (&m == &kFibers) == (g.wait < 1ms) ? 2000.0 : 1000.0; });
  auto const points = judge_points(result);
  auto const all = borders(result, points);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_FALSE(all[0].in_grain);
  EXPECT_EQ(refining_points(result, 2, 8)[0].wait, 1400us);
}

TEST(Map, RefinesNoMoreAtOnceThanItIsToldTo) {
  std::vector<Group> groups;
  for (auto const wait : {1ms, 2ms, 3ms, 4ms}) {
    groups.push_back(lookup_group(0ns, wait));
    groups.push_back(lookup_group(1ms, wait));
  }
  EXPECT_EQ(refining_points(measured_map(groups, crossing), 2, 3).size(), 3u);
}

TEST(GrowingCampaign, RunsRoundsOfWhatIsAddedAndKeepsWhatThereIs) {
  Model const good{.name = "good", .summary = "s", .cpu = broken::right, .lookup = broken::asks};
  RunOptions options;
  options.models = {&good};
  options.streams = {StreamKind::cpu};
  options.events = 2000;
  options.keys = {.seed = 1, .keys = 50, .skew = 0};
  options.workers = {1};
  options.grains = {0ns};
  options.batches = {64};
  options.min_rounds = options.max_rounds = 2;
  options.sample_timeout = 20s;
  options.progress = false;
  int asked = 0;
  CampaignResult const result =
      run_campaign(quick(options), make_plan(options), [&](CampaignResult const& so_far) {
        More more;
        if (++asked > 2) return more;
        EXPECT_EQ(so_far.cells.size(), static_cast<std::size_t>(asked));
        EXPECT_EQ(so_far.rounds, 2 * asked);
        Group group;
        group.workers = 1;
        group.batch = 64u << asked;
        group.cells = {0};
        Cell cell = so_far.plan.cells.front();
        cell.batch = group.batch;
        more.plan.cells = {cell};
        more.plan.groups = {group};
        if (asked == 1) more.again = {0};
        return more;
      });
  EXPECT_FALSE(result.any_failed());
  ASSERT_EQ(result.cells.size(), 3u);
  EXPECT_EQ(result.plan.groups.size(), 3u);
  EXPECT_EQ(result.rounds, 6);
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(result.cells[i].samples.size(), i == 0 ? 4u : 2u) << "the first had two rounds again";
    EXPECT_EQ(result.cells[i].samples[0].round, static_cast<int>(2 * i));
    EXPECT_EQ(result.plan.groups[i].cells, std::vector<std::size_t>{i});
    EXPECT_EQ(result.cells[i].closed, Closed::rounds);
  }
  EXPECT_EQ(result.reference.size(), 6u) << "the noise floor is measured in every round";
  EXPECT_LT(::waitpid(-1, nullptr, WNOHANG), 0) << "no process is left";
}

}  // namespace
}  // namespace tally
