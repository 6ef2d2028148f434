// `tally run --against`, as far as it needs no second process: pairs, their order, their figures, and what
// the two builds say to each other. The rest is in test_against.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/base/json.hpp"
#include "bench/campaign/rounds.hpp"
#include "bench/cli/options.hpp"
#include "bench/output/record.hpp"
#include "bench/output/table.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/plan.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/sampler_protocol.hpp"
#include "tests/bench/bench_models.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

Plan plan_against(std::vector<std::string> const& arguments) {
  return make_plan(parse_run_options(arguments, kTestModels));
}

std::vector<std::string> const kArguments{
    "--model", "sequential,fibers,limit", "--stream", "cpu", "--workers", "2", "--grain", "1us"};

/// A campaign of kArguments against a build that has every cell but `without`.
CampaignResult campaign_against(std::string const& without = "") {
  CampaignResult result;
  auto arguments = kArguments;
  arguments.insert(arguments.end(), {"--against", "/opt/tally"});
  result.options = parse_run_options(arguments, kTestModels);
  Plan const own = plan_against(kArguments);
  std::vector<std::string> others;
  for (Cell const& cell : own.cells)
    if (cell.model->name != without) others.push_back(cell.name());
  result.plan = with_other_build(own, others);
  for (Cell const& cell : result.plan.cells) {
    result.cells.emplace_back().cell = cell;
    result.cells.back().analytic_bound = INFINITY;
  }
  result.manifest =
      R"({"against": {"path": "/opt/tally", "tally_version": "9.9", "tally_commit": "0123456789abcdef", "tally_tree": "clean"}})";
  return result;
}

/// Gives the cell at `index` a sample in each round, of these rates in events/s.
void measure_cell(CampaignResult& result, std::size_t index, std::vector<double> const& rates) {
  result.cells[index].samples.clear();
  for (std::size_t round = 0; round < rates.size(); ++round) {
    Sample s;
    s.events = 1'000'000;
    s.elapsed = std::chrono::nanoseconds(static_cast<std::int64_t>(1e15 / rates[round]));
    s.round = static_cast<int>(round);
    result.cells[index].samples.push_back(s);
  }
}

/// Rates of a machine that changes its speed from round to round.
std::vector<double> rates_of(int rounds, double factor, double noise = 0) {
  std::vector<double> rates;
  for (int r = 0; r < rounds; ++r)
    rates.push_back(factor * 1e6 * (1 + 0.5 * (r % 3)) * (1 + noise * ((r * 7) % 11 - 5) / 5.0));
  return rates;
}

TEST(Against, PutsTheOtherBuildsCellsBesideThoseThatBothHave) {
  auto const result = campaign_against("limit");
  ASSERT_EQ(result.plan.cells.size(), 5u);
  ASSERT_EQ(result.plan.pairs.size(), 2u);
  for (Pair const& pair : result.plan.pairs) {
    Cell const& here = result.plan.cells[pair.here];
    EXPECT_FALSE(here.against);
    EXPECT_EQ(result.plan.cells[pair.there].name(), here.name() + "/against:1");
    EXPECT_EQ(result.plan.pair_of(pair.here), &pair);
    EXPECT_EQ(result.plan.pair_of(pair.there), &pair);
  }
  ASSERT_EQ(result.plan.groups.size(), 2u);
  EXPECT_TRUE(result.plan.groups[1].against);
  EXPECT_EQ(result.plan.groups[1].cells.size(), 2u) << "groups are of one build: ranks are told within them";
}

TEST(Against, ABuildWithoutAnyOfTheCellsMakesNoPair) {
  EXPECT_TRUE(with_other_build(plan_against(kArguments), {"cpu/other/workers:2/grain_ns:1000/batch:256"})
                  .pairs.empty());
}

TEST(Against, OfAPairEachBuildComesFirstInOneOfTwoRounds) {
  auto const plan = campaign_against().plan;
  std::size_t const reference = plan.cells.size();
  std::vector<std::size_t> cells;
  for (std::size_t i = 0; i <= reference; ++i) cells.push_back(i);
  int first_in_even = 0, pairs = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<std::map<std::size_t, bool>> here_first(2);  // by round, by pair
    for (int round = 0; round < 2; ++round) {
      auto const order = with_twins(shuffled(cells, seed, round), plan, seed, round);
      auto sorted = order;
      std::sort(sorted.begin(), sorted.end());
      ASSERT_EQ(sorted, cells) << "each once, the reference computation too";
      for (Pair const& pair : plan.pairs) {
        auto const here = std::find(order.begin(), order.end(), pair.here),
                   there = std::find(order.begin(), order.end(), pair.there);
        ASSERT_EQ(std::abs(here - there), 1) << "one right after the other";
        here_first[static_cast<std::size_t>(round)][pair.here] = here < there;
      }
    }
    for (Pair const& pair : plan.pairs) {
      EXPECT_NE(here_first[0][pair.here], here_first[1][pair.here]);
      first_in_even += here_first[0][pair.here];
      ++pairs;
    }
  }
  EXPECT_NEAR(first_in_even, pairs / 2, 62) << "drawn: 5 standard deviations";
}

TEST(Against, ACellWhoseTwinIsClosedRunsAlone) {
  auto const plan = campaign_against().plan;
  EXPECT_EQ(with_twins({plan.pairs[0].there, plan.pairs[1].here}, plan, 1, 0),
            (std::vector<std::size_t>{plan.pairs[0].there, plan.pairs[1].here}));
}

TEST(Against, TheRatioIsTakenRoundByRoundAndItsIntervalIsCorrectedForThePairs) {
  auto result = campaign_against();
  Pair const pair = result.plan.pairs[1];
  measure_cell(result, pair.here, rates_of(12, 0.9));
  measure_cell(result, pair.there, rates_of(12, 1.0));
  Interval const ratio = *result.ratio_of(pair);
  EXPECT_NEAR(ratio.low, 0.9, 1e-6) << "the machine's speed is not in it";
  EXPECT_NEAR(ratio.high, 0.9, 1e-6);
  EXPECT_NEAR(ratio.confidence, 1 - 0.05 / 3, 1e-12);
  EXPECT_EQ(verdict(ratio), Verdict::slower);
  EXPECT_FALSE(result.ratio_of(result.plan.pairs[0])) << "not measured";
}

TEST(Against, WhatTheIntervalDoesNotExcludeIsNotSaid) {
  EXPECT_EQ(verdict({.median = 1.1, .low = 1.01, .high = 1.2, .coverage = 0.99, .confidence = 0.98}),
            Verdict::faster);
  EXPECT_EQ(verdict({.median = 1.1, .low = 0.99, .high = 1.2, .coverage = 0.99, .confidence = 0.98}),
            Verdict::not_separated);
  EXPECT_EQ(verdict({.median = 0.9, .low = 0.8, .high = 0.99, .coverage = 0.99, .confidence = 0.98}),
            Verdict::slower);
  EXPECT_EQ(verdict({.median = 1.1, .low = 1.09, .high = 1.2, .coverage = 0.96, .confidence = 0.98}),
            Verdict::too_few_rounds);
}

TEST(Against, APairIsClosedTogetherWhenItsRatioIsKnownWellEnough) {
  auto result = campaign_against();
  result.options.min_rounds = 10;
  result.options.max_rounds = 100;
  result.options.ci = 0.02;
  for (Pair const& pair : result.plan.pairs) {
    measure_cell(result, pair.here, rates_of(10, 1.0));
    measure_cell(result, pair.there, rates_of(10, 1.0));
  }
  Pair const noisy = result.plan.pairs[1];
  measure_cell(result, noisy.there, rates_of(10, 1.0, 0.2));
  close_cells(result, 10);
  EXPECT_EQ(open_cells(result), (std::vector<std::size_t>{noisy.here, noisy.there}))
      << "the speed of the machine changed by half, but only of this pair the ratio is uncertain";
  result.cells[noisy.here].closed = Closed::failed;
  result.cells[noisy.here].failure = "lost an event";
  measure_cell(result, noisy.there, std::vector<double>(10, 1e6));
  close_cells(result, 10);
  EXPECT_TRUE(open_cells(result).empty()) << "without its twin, a cell is closed for its own interval";
}

TEST(Against, TheTableNamesTheOtherBuildAndSaysOfEveryCellWhatIsKnown) {
  auto result = campaign_against();
  for (Pair const& pair : result.plan.pairs) {
    measure_cell(result, pair.here, rates_of(12, 0.9));
    measure_cell(result, pair.there, rates_of(12, 1.0));
  }
  result.cells[result.plan.pairs[2].there].failure = "lost an event";
  std::string const table = render_table(result);
  EXPECT_NE(table.find("this build against 9.9 (0123456789ab), /opt/tally"), std::string::npos) << table;
  EXPECT_NE(table.find("0.900"), std::string::npos) << table;
  EXPECT_NE(table.find("[0.900, 0.900]      12  slower"), std::string::npos) << table;
  EXPECT_NE(table.find("FAILED: lost an event"), std::string::npos) << table;
  EXPECT_EQ(table.find("against:1"), std::string::npos)
      << "the other build is no rank among these: " << table;
}

TEST(Against, TheFileHasBothBuildsSamplesAndTheRatioOnThisBuildsMedian) {
  auto result = campaign_against();
  Pair const pair = result.plan.pairs[1];
  measure_cell(result, pair.here, rates_of(12, 0.9));
  measure_cell(result, pair.there, rates_of(12, 1.0));
  auto const record = Json::parse(record_text(result));
  EXPECT_EQ(record["context"]["against"]["path"], "/opt/tally");
  std::string const name = result.plan.cells[pair.here].name();
  int samples = 0;
  for (auto const& entry : record["benchmarks"]) {
    samples +=
        entry["run_name"] == name + "/against:1" && entry["run_type"] == "iteration" && entry["against"] == 1;
    if (entry["name"] != name + "_median") continue;
    EXPECT_NEAR(entry["ratio_to_against"].get<double>(), 0.9, 1e-6);
    EXPECT_EQ(entry["ratio_to_against_rounds"], 12);
    EXPECT_EQ(entry["verdict_against"], "slower");
  }
  EXPECT_EQ(samples, 12);
}

TEST(Against, HasDefaultsOfItsOwn) {
  auto const options = parse_run_options({"--against", "x"}, kTestModels);
  EXPECT_EQ(options.against, "x");
  EXPECT_EQ(options.ci, defaults::kAgainstCi);
  EXPECT_EQ(options.max_rounds, defaults::kAgainstMaxRounds);
  EXPECT_EQ(options.time_budget, defaults::kAgainstTimeBudget);
  EXPECT_THROW(parse_run_options({"--against", ""}, kTestModels), UsageError);
}

TEST(SamplerProtocol, BringsASampleAcrossWhole) {
  CellSample taken;
  Sample& s = taken.sample;
  s.elapsed = 123'456'789ns;
  s.startup = 1ns;
  s.teardown = 2ns;
  s.user_s = 0.1;
  s.sys_s = 1.0 / 3;
  s.peak_rss_bytes = 1ULL << 40;
  s.ctx_voluntary = 3;
  s.ctx_involuntary = 4;
  s.workers_ran = 5;
  s.events = UINT64_MAX;
  s.tasks = 6;
  s.replies = 7;
  s.malformed = 8;
  s.service_busy_s = 0.7;
  taken.lateness = {1, 0, 9};
  CellSample const back = sample_from_json(Json::parse(sample_to_json(taken).dump()));
  EXPECT_EQ(back.sample.elapsed, s.elapsed);
  EXPECT_EQ(back.sample.startup, s.startup);
  EXPECT_EQ(back.sample.teardown, s.teardown);
  EXPECT_EQ(back.sample.user_s, s.user_s);
  EXPECT_EQ(back.sample.sys_s, s.sys_s);
  EXPECT_EQ(back.sample.peak_rss_bytes, s.peak_rss_bytes);
  EXPECT_EQ(back.sample.ctx_voluntary, s.ctx_voluntary);
  EXPECT_EQ(back.sample.ctx_involuntary, s.ctx_involuntary);
  EXPECT_EQ(back.sample.workers_ran, s.workers_ran);
  EXPECT_EQ(back.sample.events, s.events);
  EXPECT_EQ(back.sample.tasks, s.tasks);
  EXPECT_EQ(back.sample.replies, s.replies);
  EXPECT_EQ(back.sample.malformed, s.malformed);
  EXPECT_EQ(back.sample.service_busy_s, s.service_busy_s);
  EXPECT_FALSE(back.sample.service_cpu_s);
  EXPECT_EQ(back.sample.failure, "");
  EXPECT_EQ(back.lateness, taken.lateness);
  taken.sample.failure = "killed";
  EXPECT_EQ(sample_from_json(sample_to_json(taken)).sample.failure, "killed");
  EXPECT_THROW(sample_from_json({{"failure", ""}}), Json::Error);
}

TEST(Digest, DiffersWithEveryKindOfDifference) {
  auto const counted = [](std::uint32_t key, std::uint64_t window, std::uint64_t checksum) {
    Counts counts = Counts::dense(4);
    ++counts.dense_row(window)[key];
    counts.events = 1;
    counts.checksum = checksum;
    return digest(counts);
  };
  EXPECT_EQ(counted(1, 0, 7), counted(1, 0, 7));
  EXPECT_NE(counted(1, 0, 7), counted(2, 0, 7));
  EXPECT_NE(counted(1, 0, 7), counted(1, 1, 7));
  EXPECT_NE(counted(1, 0, 7), counted(1, 0, 8));
}

}  // namespace
}  // namespace tally
