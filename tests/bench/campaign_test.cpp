#include "bench/campaign/campaign.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/drawn_waits.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/base/json.hpp"
#include "bench/base/units.hpp"
#include "bench/campaign/event_numbers.hpp"
#include "bench/campaign/rounds.hpp"
#include "bench/cli/options.hpp"
#include "bench/machine/reference_work.hpp"
#include "bench/plan/bound.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "tests/bench/bench_models.hpp"
#include "tests/bench/closed_port.hpp"
#include "tests/bench/quick_campaign.hpp"
#include "tests/broken/broken_models.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

Model const kPlain{
    .name = "sequential", .summary = "s", .cpu = broken::right, .lookup = broken::asks, .sequential = true};
Model const kGood{.name = "good", .summary = "s", .cpu = broken::right, .lookup = broken::asks};
Model const kLimit{
    .name = "limit", .summary = "s", .cpu = broken::right, .lookup = broken::asks, .candidate = false};

RunOptions options_for(std::vector<Model const*> models) {
  RunOptions options;
  options.models = std::move(models);
  options.streams = {StreamKind::cpu};
  options.events = 5000;
  options.keys = {.seed = 1, .keys = 50, .skew = 0};
  options.workers = {1};
  options.grains = {0ns};
  options.batches = {64};
  options.waits = {100us};
  options.in_flights = {1};
  options.min_rounds = 2;
  options.max_rounds = 3;
  options.ci = 0;  // never reached: the number of rounds is known
  options.sample_timeout = 20s;
  options.progress = false;
  return quick(options);
}

CampaignResult run(RunOptions const& options) { return run_campaign(options, make_plan(options)); }

CellResult const& cell_of(CampaignResult const& result, std::string_view model) {
  return *std::find_if(result.cells.begin(), result.cells.end(),
                       [&](CellResult const& cell) { return cell.cell.model->name == model; });
}

bool no_child_left() { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }

TEST(Campaign, NoSampleIsChargedWithTheMemoryThatWritingResultsTook) {
#if defined(TALLY_ADDRESS_SANITIZER) || defined(TALLY_THREAD_SANITIZER)
  GTEST_SKIP() << "sanitizers keep what is freed";
#endif
  RunOptions options = options_for({&kGood});
  options.events = 500;
  options.batches.clear();
  for (std::uint64_t batch = 1; batch <= 110; ++batch) options.batches.push_back(batch);
  options.max_rounds = 2;
  auto const folder = std::filesystem::path(testing::TempDir());
  options.out = folder / ("tally-memory-" + std::to_string(::getpid()) + ".json");
  CampaignResult const result = run(options);
  EXPECT_GT(std::filesystem::file_size(options.out), 384u << 10) << "of which there is something to write";
  std::filesystem::remove(options.out);
  CellResult const& cell = cell_of(result, "good");
  ASSERT_EQ(cell.samples.size(), 2u);
  // What was freed and not given back would be some 3 MiB of the second sample.
  EXPECT_LT(cell.samples[1].peak_rss_bytes, cell.samples[0].peak_rss_bytes + (1u << 20));
}

TEST(Campaign, RunsEveryCellOnceInEveryRoundAndClosesItAtTheMostRounds) {
  CampaignResult const result = run(options_for({&kPlain, &kGood, &kLimit}));
  EXPECT_FALSE(result.any_failed());
  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(result.rounds, 3);
  ASSERT_EQ(result.cells.size(), 3u);
  std::set<std::pair<int, int>> places;
  for (CellResult const& cell : result.cells) {
    EXPECT_EQ(cell.closed, Closed::rounds);
    ASSERT_EQ(cell.samples.size(), 3u);
    for (int round = 0; round < 3; ++round) {
      Sample const& sample = cell.samples[static_cast<std::size_t>(round)];
      EXPECT_EQ(sample.round, round);
      EXPECT_EQ(sample.events, 5000u);
      EXPECT_TRUE(places.emplace(sample.round, sample.order).second) << "two samples in one place";
    }
  }
  ASSERT_EQ(result.reference.size(), 3u) << "the noise floor is a cell of its own";
  for (ReferenceSample const& sample : result.reference) {
    EXPECT_TRUE(places.emplace(sample.round, sample.order).second) << "two samples in one place";
    EXPECT_LT(sample.order, 4);
    EXPECT_GT(sample.elapsed, 0ns);
  }
  EXPECT_EQ(result.plan.cells[0].events, 5000u);
  EXPECT_TRUE(result.of_limit(1));
  EXPECT_TRUE(result.ratio(1, 0));
  EXPECT_TRUE(no_child_left());
}

TEST(Campaign, ClosesConvergedCellsAtTheLeastRoundsThatAnIntervalNeeds) {
  RunOptions options = options_for({&kGood});
  options.min_rounds = 3;
  options.max_rounds = 20;
  options.ci = 1e9;
  CampaignResult const result = run(options);
  EXPECT_EQ(result.rounds, 6) << "no interval of 95% has fewer than 6 samples";
  EXPECT_EQ(result.cells[0].closed, Closed::converged);
}

TEST(Campaign, EndsWithTheTimeBudgetButNotBeforeTheFirstRoundIsWhole) {
  RunOptions options = options_for({&kPlain, &kGood});
  options.max_rounds = 100'000;
  options.time_budget = 1ns;
  CampaignResult const result = run(options);
  EXPECT_EQ(result.rounds, 1);
  for (CellResult const& cell : result.cells) {
    EXPECT_EQ(cell.closed, Closed::time_budget);
    EXPECT_EQ(cell.samples.size(), 1u);
  }
}

TEST(Campaign, WhoseResultsCannotBeWrittenHasFailed) {
  RunOptions options = options_for({&kGood});
  options.out = "/nowhere/result.json";
  CampaignResult const result = run(options);
  EXPECT_EQ(cell_of(result, "good").failure, "");
  EXPECT_NE(result.write_failure.find("/nowhere/result.json"), std::string::npos) << result.write_failure;
  EXPECT_TRUE(result.any_failed());
}

struct Breakage {
  char const* name;
  CpuRun run;
  char const* reason;
};

class CampaignWith : public testing::TestWithParam<Breakage> {};

TEST_P(CampaignWith, ABrokenModelFailsWithItsReasonAndTheOthersHaveFigures) {
  Model const bad{.name = "bad", .summary = "s", .cpu = GetParam().run};
  RunOptions options = options_for({&kPlain, &kGood, &bad, &kLimit});
  options.sample_timeout = 1s;
  options.window = 1ms;
  CampaignResult const result = run(options);
  EXPECT_TRUE(result.any_failed());
  CellResult const& failed = cell_of(result, "bad");
  EXPECT_EQ(failed.closed, Closed::failed);
  EXPECT_NE(failed.failure.find(GetParam().reason), std::string::npos) << failed.failure;
  EXPECT_EQ(failed.samples.size(), 1u) << "it is not run again";
  EXPECT_FALSE(failed.throughput());
  for (char const* const name : {"sequential", "good", "limit"}) {
    CellResult const& cell = cell_of(result, name);
    EXPECT_EQ(cell.failure, "");
    EXPECT_EQ(cell.samples.size(), 3u);
    EXPECT_TRUE(cell.throughput());
  }
  EXPECT_TRUE(no_child_left());
}

INSTANTIATE_TEST_SUITE_P(
    Ways, CampaignWith,
    testing::Values(Breakage{"LosesAnEvent", broken::loses_an_event, "wrong count"},
                    Breakage{"DoublesAnEvent", broken::doubles_an_event, "wrong count"},
                    Breakage{"SwapsAnEvent", broken::swaps_an_event, "wrong count"},
                    Breakage{"MisfilesByKey", broken::misfiles_by_key, "wrong count"},
                    Breakage{"MisfilesByWindow", broken::misfiles_by_window, "wrong count"},
                    Breakage{"DropsTheLastBatch", broken::drops_the_last_batch, "wrong count"},
                    Breakage{"ForgetsATally", broken::forgets_a_tally, "wrong count"},
                    Breakage{"NeverStartsItsWatch", broken::never_starts_its_watch,
                             "never started its watch"},
                    Breakage{"Throws", broken::throws, "threw: the queue is on fire"},
                    Breakage{"Segfaults", broken::segfaults, "killed by signal 11 (Segmentation fault)"},
                    Breakage{"IsKilled", broken::is_killed, "killed by signal 9 (Killed)"},
                    Breakage{"Exits", broken::exits, "exited with status 3 without a result"},
                    Breakage{"Hangs", broken::hangs, "no result within 1.00 s"}),
    [](auto const& instance) { return instance.param.name; });

TEST(Campaign, OfLookupsAccountsForTheServiceAndLeavesNoneBehind) {
  RunOptions options = options_for({&kPlain, &kGood});
  options.streams = {StreamKind::lookup};
  options.events = 20;
  CampaignResult const result = run(options);
  ASSERT_FALSE(result.any_failed()) << result.cells[0].failure;
  for (CellResult const& cell : result.cells) {
    std::uint64_t replies = 0;
    for (std::uint64_t const n : cell.lateness) replies += n;
    EXPECT_EQ(replies, 3u * 20) << "the lateness of every reply is known";
    for (Sample const& sample : cell.samples) {
      EXPECT_EQ(sample.replies, 20u);
      EXPECT_TRUE(sample.service_cpu_s && sample.service_busy_s && sample.reply_late_p99_s);
      EXPECT_LE(sample.items_per_second(), cell.analytic_bound)
          << "the bound rests on the very waits that were drawn";
    }
  }
  EXPECT_TRUE(no_child_left());
}

/// Kills the process that listens at the stream's service, which the test has made known.
Counts kills_the_service(LookupStream const&, Setup const&, Stopwatch&) {
  // The service is the other child of this process's parent.
  for (auto const& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream stat(entry.path() / "stat");
    std::string pid, name, state;
    pid_t parent = 0;
    if (!(stat >> pid >> name >> state >> parent)) continue;
    if (parent == ::getppid() && std::stoi(pid) != ::getpid()) ::kill(std::stoi(pid), SIGKILL);
  }
  for (;;) ::pause();
}

TEST(Campaign, WhoseServiceIsKilledFailsThatCellAndGoesOnWithAnother) {
  Model const killer{.name = "killer", .summary = "s", .lookup = kills_the_service};
  RunOptions options = options_for({&killer, &kGood});
  options.streams = {StreamKind::lookup};
  options.events = 20;
  options.shuffle = false;
  std::vector<Model const*> const models = options.models;
  Plan plan = make_plan(options);
  std::sort(plan.cells.begin(), plan.cells.end(),
            [](Cell const& a, Cell const&) { return a.model->name == "killer"; });
  CampaignResult const result = run_campaign(options, plan);
  EXPECT_EQ(cell_of(result, "killer").failure, "the lookup service died (killed by signal 9 (Killed))");
  EXPECT_EQ(cell_of(result, "good").failure, "");
  EXPECT_EQ(cell_of(result, "good").samples.size(), 3u);
  EXPECT_TRUE(no_child_left());
}

TEST(Campaign, WithoutItsExternalServiceFailsLookupsAndStillCounts) {
  ClosedPort const port;
  RedisUrl nobody;
  nobody.port = port.number();
  RunOptions options = options_for({&kGood});
  options.streams = {StreamKind::cpu, StreamKind::lookup};
  options.service = nobody;
  CampaignResult const result = run(options);
  ASSERT_EQ(result.cells.size(), 2u);
  EXPECT_EQ(result.cells[0].failure, "");
  EXPECT_TRUE(result.cells[1].failure.starts_with("no lookup service at 127.0.0.1:"))
      << result.cells[1].failure;
}

/// What a person does who has seen enough.
Counts interrupts_its_campaign(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  ::kill(::getppid(), SIGTERM);
  return broken::hangs(stream, setup, watch);
}

TEST(Campaign, ThatIsInterruptedKeepsWhatIsFinishedAndLeavesNoProcess) {
  auto const out =
      std::filesystem::temp_directory_path() / ("tally_interrupted_" + std::to_string(::getpid()) + ".json");
  pid_t const child = ::fork();
  if (child == 0) {
    Model const stuck{.name = "stuck", .summary = "s", .cpu = interrupts_its_campaign};
    RunOptions options = options_for({&kGood, &stuck});
    options.shuffle = false;
    options.out = out;
    Plan plan = make_plan(options);
    std::sort(plan.cells.begin(), plan.cells.end(),
              [](Cell const& a, Cell const&) { return a.model->name == "good"; });
    CampaignResult const result = run_campaign(options, plan);
    ::_exit(result.interrupted && no_child_left() ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  auto const record = Json::parse((std::ostringstream() << std::ifstream(out).rdbuf()).str());
  EXPECT_EQ(record["context"]["interrupted"], true);
  EXPECT_EQ(record["benchmarks"][0]["run_name"], "cpu/good/workers:1/grain_ns:0/batch:64");
  EXPECT_EQ(record["benchmarks"][0]["verified"], true);
  std::filesystem::remove(out);
}

TEST(Campaign, WithFewerEventsThanAnythingStillVerifies) {
  for (std::uint64_t const events : {0, 1}) {
    RunOptions options = options_for({&kPlain, &kGood});
    options.events = events;
    CampaignResult const result = run(options);
    EXPECT_FALSE(result.any_failed()) << result.cells[0].failure;
    EXPECT_EQ(result.cells[0].samples.at(0).events, events);
  }
}

TEST(Campaign, ChoosesTheSameNumberOfEventsForAllOfAGroupButSequential) {
  RunOptions options = options_for({&kPlain, &kGood, &kLimit});
  options.events.reset();
  options.grains = {100us};
  options.sample_length = 20ms;
  options.max_rounds = 1;
  CampaignResult const result = run(options);
  ASSERT_FALSE(result.any_failed()) << result.cells[0].failure;
  std::uint64_t const events = cell_of(result, "good").cell.events;
  EXPECT_EQ(events, cell_of(result, "limit").cell.events);
  EXPECT_GE(events, 1u);
  EXPECT_LE(events, 200u) << "no more than the bound lets through";
  EXPECT_DOUBLE_EQ(cell_of(result, "good").analytic_bound, 10'000);
}

TEST(TwoDigits, AreKept) {
  EXPECT_EQ(two_digits(0), 1u);
  EXPECT_EQ(two_digits(0.3), 1u);
  EXPECT_EQ(two_digits(99), 99u);
  EXPECT_EQ(two_digits(129), 120u);
  EXPECT_EQ(two_digits(0.2 * 5e5), 100'000u);
  EXPECT_EQ(two_digits(1.99e8), 190'000'000u);
  EXPECT_EQ(two_digits(NAN), 1u);
}

TEST(AnalyticBound, IsTheLesserOfWorkAndWaiting) {
  Cell cell{{.stream = StreamKind::lookup, .workers = 2, .grain = 10us, .wait = 1ms, .in_flight = 100},
            &kGood};
  EXPECT_DOUBLE_EQ(analytic_bound(cell, 2, 1e-3), 100 / 1.01e-3);
  EXPECT_DOUBLE_EQ(analytic_bound(cell, 2, 1e-5), 2e5);
  EXPECT_DOUBLE_EQ(analytic_bound(cell, 2, 0), 2e5) << "a wait that is not known bounds nothing";
  cell.grain = 0ns;
  EXPECT_TRUE(std::isinf(analytic_bound(cell, 2, 0)));
  cell.model = &kPlain;
  EXPECT_DOUBLE_EQ(analytic_bound(cell, 2, 1e-3), 1000) << "sequential has one in flight";
}

TEST(MeanWait, IsThatOfTheEventsThemselves) {
  WaitSpec const spec{.mean = 1ms, .distribution = WaitDistribution::exponential};
  double const mean = mean_wait_s(spec, 5, 3);
  double const sum =
      static_cast<double>((draw_wait(spec, 5, 0) + draw_wait(spec, 5, 1) + draw_wait(spec, 5, 2)).count());
  EXPECT_DOUBLE_EQ(mean, sum / 3 * 1e-9);
  EXPECT_DOUBLE_EQ(mean_wait_s(spec, 5, 0), 1e-3);
}

TEST(Numbers, OfLookupsAreSoManyThatTheEndOfASampleIsASmallPartOfIt) {
  RunOptions options = parse_run_options({"--out", "unused.json"}, kTestModels);
  Cell cell{{.stream = StreamKind::lookup, .wait = 20ms, .in_flight = 32}, options.models.front()};
  double const rate = 32 / 0.02;
  for (double const most : {0.05, 0.1}) {
    options.most_draining = most;
    cell.events = number_of_events(cell, options, rate, rate);
    EXPECT_LE(static_cast<double>(cell.events), 5 * rate) << "nobody waits for ever";
    double took_longer = 0;
    int const seeds = 50;
    for (std::uint64_t seed = 0; seed < seeds; ++seed)
      took_longer += DrawnWaits({cell.wait, WaitDistribution::exponential}, seed, cell.events, cell.in_flight)
                         .added_s(rate);
    double const sample_s = static_cast<double>(cell.events) / rate;
    EXPECT_NEAR(took_longer / seeds / sample_s, most, most / 3);
  }
  cell.wait = 1ms;
  EXPECT_EQ(number_of_events(cell, options, 32'000, 32'000), 6400u) << "200 ms have as many";
}

TEST(Order, OfARoundDependsOnSeedAndRoundAlone) {
  std::vector<std::size_t> cells(20);
  for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = i;
  EXPECT_EQ(shuffled(cells, 1, 0), shuffled(cells, 1, 0));
  EXPECT_NE(shuffled(cells, 1, 0), shuffled(cells, 1, 1));
  EXPECT_NE(shuffled(cells, 1, 0), shuffled(cells, 2, 0));
  auto again = shuffled(cells, 1, 0);
  std::sort(again.begin(), again.end());
  EXPECT_EQ(again, cells);
}

TEST(Order, PutsEveryCellInEveryPlaceAboutEquallyOften) {
  int const rounds = 4000;
  std::vector<std::vector<int>> counts(4, std::vector<int>(4));
  for (int round = 0; round < rounds; ++round) {
    auto const order = shuffled({0, 1, 2, 3}, 9, round);
    for (std::size_t place = 0; place < 4; ++place) ++counts[order[place]][place];
  }
  for (auto const& cell : counts)
    for (int const n : cell) EXPECT_NEAR(n, rounds / 4, 150) << "5 standard deviations are 137";
}

CellResult with_rates(Cell const& cell, std::vector<double> const& rates) {
  CellResult result;
  result.cell = cell;
  for (std::size_t round = 0; round < rates.size(); ++round) {
    Sample s;
    s.events = 1'000'000;
    s.elapsed = std::chrono::nanoseconds(static_cast<std::int64_t>(1e15 / rates[round]));
    s.round = static_cast<int>(round);
    result.samples.push_back(s);
  }
  result.analytic_bound = INFINITY;
  return result;
}

class Figures : public testing::Test {
 protected:
  Figures() {
    RunOptions options = options_for({&kPlain, &kGood, &kLimit});
    result_.options = options;
    for (Model const* const model : options.models) result_.plan.cells.push_back({{}, model});
    result_.plan.groups.push_back({{}, false, {0, 1, 2}});
    result_.cells = {with_rates(result_.plan.cells[0], {100, 200, 400}),
                     with_rates(result_.plan.cells[1], {150, 300, 600}),
                     with_rates(result_.plan.cells[2], {300, 600, 1200})};
  }
  CampaignResult result_;
};

TEST_F(Figures, RatiosAreTakenRoundByRound) {
  // The machine doubled its speed twice: each cell alone is all over the place, the ratio is not.
  Interval const ratio = *result_.ratio(1, 0);
  EXPECT_NEAR(ratio.low, 1.5, 1e-6);
  EXPECT_NEAR(ratio.high, 1.5, 1e-6);
  EXPECT_NEAR(result_.of_limit(1)->high, 0.5, 1e-6);
}

TEST_F(Figures, RoundsThatOnlyOneOfThemHadDoNotCount) {
  result_.cells[0].samples.erase(result_.cells[0].samples.begin());
  EXPECT_EQ(result_.ratio(1, 0)->n, 2);
  result_.cells[0].samples.clear();
  EXPECT_FALSE(result_.ratio(1, 0));
}

TEST_F(Figures, TheBoundIsComputedAndNothingThatAModelReached) {
  EXPECT_FALSE(result_.bound(1, 1)) << "`limit` is a row, and no bound";
  EXPECT_FALSE(result_.efficiency(1));
  result_.cells[1].analytic_bound = 500;
  EXPECT_NEAR(result_.bound(1, 1)->items_per_second, 500, 1e-3);
  EXPECT_NEAR(result_.efficiency(1)->median, 300.0 / 500, 1e-6);
}

TEST_F(Figures, TheMemorysBandwidthIsABoundOfWhatCachesDoNotHold) {
  result_.reference_cpus = 1;
  result_.options.reference.read_bytes = 1 << 20;
  result_.reference = {{.round = 0, .read_bytes_per_s = 2e9}, {.round = 1, .read_bytes_per_s = 4e9}};
  Cell& cell = result_.cells[1].cell;
  double const bytes = result_.bytes_per_event(cell);
  cell.events = static_cast<std::uint64_t>((1 << 20) / bytes) - 1;
  EXPECT_FALSE(result_.bound(1, 1));
  cell.events += 2;
  EXPECT_NEAR(result_.bound(1, 1)->items_per_second, 4e9 / bytes, 1) << "of the same round";
  EXPECT_EQ(result_.bound(1, 1)->by, Bound::By::memory);
  result_.cells[1].analytic_bound = 1e9 / bytes;
  EXPECT_NEAR(result_.bound(1, 0)->items_per_second, 1e9 / bytes, 1) << "the least of them";
  EXPECT_EQ(result_.bound(1, 2)->by, Bound::By::arithmetic) << "nothing was measured in that round";
  cell.workers = 2;
  EXPECT_EQ(result_.bound(1, 1)->by, Bound::By::arithmetic) << "of two CPUs nothing is known";
}

TEST_F(Figures, WhatTheServiceCouldAnswerIsABound) {
  for (Cell* const cell : {&result_.cells[1].cell, &result_.cells[2].cell}) cell->stream = StreamKind::lookup;
  result_.cells[1].samples[0].service_busy_s = 1e6 / 4000;
  EXPECT_NEAR(result_.bound(1, 2)->items_per_second, 4000, 1e-3);
  result_.cells[2].samples[1].service_busy_s = 1e6 / 5000;
  EXPECT_NEAR(result_.bound(1, 2)->items_per_second, 5000, 1e-3) << "what it did for another, it can do";
  EXPECT_EQ(result_.bound(1, 2)->by, Bound::By::service);
}

TEST_F(Figures, WhatIsAboveItsBoundOrLimitIsAContradiction) {
  auto const set = [&](std::size_t cell, double rate) {
    result_.cells[cell] = with_rates(result_.plan.cells[cell], std::vector<double>(8, rate));
  };
  set(0, 100);
  set(1, 200);
  set(2, 190);
  ASSERT_EQ(result_.contradictions().size(), 1u);
  EXPECT_NE(result_.contradictions()[0].find("/good/"), std::string::npos);
  EXPECT_NE(result_.contradictions()[0].find("105.3% [105.3%, 105.3%] of `limit`"), std::string::npos)
      << result_.contradictions()[0];
  set(2, 200);
  EXPECT_TRUE(result_.contradictions().empty());
  result_.cells[1].analytic_bound = 198;
  EXPECT_TRUE(result_.contradictions().empty()) << "a bound is known to 2%";
  result_.cells[1].analytic_bound = 190;
  ASSERT_EQ(result_.contradictions().size(), 1u);
  EXPECT_NE(result_.contradictions()[0].find("of its bound"), std::string::npos);
}

TEST_F(Figures, OfLimitIsTakenRoundByRoundAndSequentialsOfOneWorkerAlone) {
  EXPECT_NEAR(result_.of_limit(1)->low, 0.5, 1e-6);
  EXPECT_NEAR(result_.of_limit(1)->high, 0.5, 1e-6);
  EXPECT_TRUE(result_.of_limit(0));
  result_.plan.groups[0].workers = 2;
  EXPECT_FALSE(result_.of_limit(0));
  EXPECT_TRUE(result_.of_limit(1));
  result_.cells[2].failure = "broken";
  EXPECT_FALSE(result_.of_limit(1));
}

TEST_F(Figures, TheBoundOfAGrainFollowsTheSpeedThatTheCpusHadInTheRound) {
  result_.links_per_ns = 0.5;
  for (int const round : {0, 1})
    result_.reference.push_back(
        {.round = round, .elapsed = 1ms, .links_per_ns = 0.275, .links_per_ns_alone = 0.5 + 0.05 * round});
  result_.reference_cpus = 2;
  for (auto& cell : result_.cells) cell.analytic_bound = 1000;
  result_.cells[1].cell.grain = 1us;
  auto const bound = [&](std::size_t cell, int round) {
    return result_.bound(cell, round)->items_per_second;
  };
  // Of 499.7 links, which were calibrated to be 500.
  EXPECT_NEAR(bound(1, 0), 1000, 1);
  EXPECT_NEAR(bound(1, 1), 1100, 1);
  EXPECT_DOUBLE_EQ(bound(0, 1), 1000) << "no grain";
  result_.cells[1].cell.workers = 2;
  EXPECT_NEAR(bound(1, 1), 550, 1) << "a link takes twice as long where both CPUs are busy";
  EXPECT_DOUBLE_EQ(bound(1, 2), 1000) << "nothing is known of that round";
}

TEST_F(Figures, AFailedCellHasNone) {
  result_.cells[1].failure = "lost an event";
  EXPECT_FALSE(result_.cells[1].throughput());
  EXPECT_FALSE(result_.efficiency(1));
  EXPECT_FALSE(result_.ratio(1, 0));
  EXPECT_TRUE(result_.any_failed());
}

TEST_F(Figures, BasesStayOpenAsLongAsACellRestsOnThem) {
  result_.options.max_rounds = 100;
  result_.options.min_rounds = 6;
  result_.options.ci = 0.01;
  std::vector<double> const steady(6, 100.0), noisy{1, 2, 3, 4, 5, 6};
  for (std::size_t const i : {0, 2}) result_.cells[i] = with_rates(result_.plan.cells[i], steady);
  result_.cells[1] = with_rates(result_.plan.cells[1], noisy);
  close_cells(result_, 6);
  EXPECT_EQ(open_cells(result_), (std::vector<std::size_t>{0, 1, 2}));
  result_.cells[1] = with_rates(result_.plan.cells[1], steady);
  close_cells(result_, 6);
  EXPECT_TRUE(open_cells(result_).empty());
}

}  // namespace
}  // namespace tally
