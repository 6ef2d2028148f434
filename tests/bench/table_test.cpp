#include "bench/output/table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/base/text_table.hpp"
#include "bench/cli/options.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/plan/plan.hpp"
#include "tests/bench/bench_models.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

/// A sample of 1,000 events that took `us` microseconds, one CPU busy all the while.
Sample sample_of(int round, double us) {
  Sample sample;
  sample.elapsed = std::chrono::nanoseconds{static_cast<std::int64_t>(us * 1000)};
  sample.user_s = us * 1e-6;
  sample.peak_rss_bytes = 8u << 20;
  sample.events = 1000;
  sample.round = round;
  return sample;
}

/// A campaign of one group, without samples.
CampaignResult campaign(std::vector<std::string> const& arguments) {
  CampaignResult result;
  result.options = parse_run_options(arguments, kTestModels);
  result.plan = make_plan(result.options);
  for (Cell const& cell : result.plan.cells) {
    CellResult one;
    one.cell = cell;
    one.analytic_bound = INFINITY;
    result.cells.push_back(one);
  }
  result.rounds = 10;
  result.took = 3s;
  return result;
}

/// Ten rounds for `model`, of `us` microseconds each, give or take `spread`.
void measure(CampaignResult& result, std::string_view model, double us, double spread = 0.001) {
  for (auto& cell : result.cells) {
    if (cell.cell.model->name != model) continue;
    for (int round = 0; round < 10; ++round) {
      cell.samples.push_back(sample_of(round, us * (1 + spread * ((round * 7 % 10) - 4.5) / 4.5)));
    }
  }
}

void fail(CampaignResult& result, std::string_view model, std::string const& reason) {
  for (auto& cell : result.cells) {
    if (cell.cell.model->name == model) cell.failure = reason;
  }
}

CampaignResult cpu_campaign() {
  return campaign({"--model", "sequential,threads,processes,fibers,limit", "--stream", "cpu", "--workers",
                   "2", "--grain", "1us", "--batch", "256", "--out", "r.json"});
}

/// The line in which `word` stands first; or with `rank`, second.
std::string line_of(std::string const& table, std::string const& word) {
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first, second;
    words >> first >> second;
    if (first == word || second == word) return line;
  }
  return "";
}

std::string rank_of(std::string const& table, std::string const& model) {
  std::string const line = line_of(table, model);
  std::istringstream words(line);
  std::string rank;
  words >> rank;
  return rank;
}

TEST(Table, RanksByThroughputWithLimitLastAndUnranked) {
  auto result = cpu_campaign();
  measure(result, "sequential", 1000);
  measure(result, "threads", 500);
  measure(result, "fibers", 520);
  measure(result, "processes", 600);
  measure(result, "limit", 490);
  std::string const table = render_table(result);
  EXPECT_EQ(rank_of(table, "threads"), "1");
  EXPECT_EQ(rank_of(table, "fibers"), "2");
  EXPECT_EQ(rank_of(table, "processes"), "3");
  EXPECT_EQ(rank_of(table, "sequential"), "4");
  EXPECT_EQ(rank_of(table, "limit"), "limit") << "without a rank";
  EXPECT_GT(table.rfind("limit  "), table.find("4   sequential")) << "below all others";
  EXPECT_NE(line_of(table, "threads").find("2.00 M"), std::string::npos) << "events/s";
  EXPECT_NE(line_of(table, "threads").find("2.00x"), std::string::npos) << "of sequential";
  EXPECT_NE(line_of(table, "threads").find("98%"), std::string::npos) << "of limit";
  EXPECT_NE(line_of(table, "threads").find("500 ns"), std::string::npos) << "CPU time per event";
  EXPECT_NE(line_of(table, "threads").find("8.00 MiB"), std::string::npos);
  EXPECT_NE(table.find("sequential, 1.00 M events/s"), std::string::npos) << "the base's absolute figure";
  EXPECT_NE(table.find("results: r.json"), std::string::npos);
}

TEST(Table, NeighboursThatAreNotSeparatedShareARank) {
  auto result = cpu_campaign();
  measure(result, "sequential", 1000);
  measure(result, "threads", 500, 0.05);
  measure(result, "fibers", 501, -0.05);
  measure(result, "processes", 700);
  std::string const table = render_table(result);
  EXPECT_EQ(rank_of(table, "threads"), "1");
  EXPECT_EQ(rank_of(table, "fibers"), "1=");
  EXPECT_EQ(rank_of(table, "processes"), "3");
  EXPECT_NE(table.find("not separated"), std::string::npos) << "the legend says so";
}

TEST(Table, OfLookupsALeadThatTheWaitsDrawnMayHaveMadeSeparatesNobody) {
  auto result = campaign({"--model", "threads,fibers", "--stream", "lookup", "--wait", "10ms", "--in-flight",
                          "16", "--out", "r.json"});
  measure(result, "threads", 1'000'000);
  measure(result, "fibers", 1'010'000);
  EXPECT_EQ(rank_of(render_table(result), "fibers"), "2") << "waits that are not known make nothing";
  for (CellResult& cell : result.cells)
    cell.drawn_waits.emplace(WaitSpec{10ms, WaitDistribution::exponential}, 1, 1000, 16);
  ASSERT_GT(result.cells[0].luck_of_waits(), 0.01);
  EXPECT_EQ(rank_of(render_table(result), "fibers"), "1=");
}

TEST(Table, ARatioWhoseIntervalIncludesOneIsMarked) {
  auto result = cpu_campaign();
  measure(result, "sequential", 1000, 0.05);
  measure(result, "threads", 1000, -0.05);
  std::string const table = render_table(result);
  EXPECT_NE(line_of(table, "threads").find("1.00x?"), std::string::npos) << table;
}

TEST(Table, ARatioOfWhatIsHundredsOfTimesSlowerHasTwoDigitsToo) {
  auto result = cpu_campaign();
  measure(result, "sequential", 1000);
  measure(result, "fibers", 25'900);
  measure(result, "processes", 714'300);
  std::string const table = render_table(result);
  EXPECT_NE(line_of(table, "fibers").find(" 0.039x "), std::string::npos) << table;
  EXPECT_NE(line_of(table, "processes").find(" 0.0014x "), std::string::npos) << table;
}

TEST(Table, TooFewRoundsSeparateNothingAndHaveNoInterval) {
  auto result = cpu_campaign();
  measure(result, "sequential", 1000);
  measure(result, "threads", 500);
  for (auto& cell : result.cells) cell.samples.resize(std::min<std::size_t>(cell.samples.size(), 3));
  std::string const table = render_table(result);
  EXPECT_EQ(rank_of(table, "sequential"), "1=");
  EXPECT_NE(line_of(table, "threads").find("n=3"), std::string::npos) << table;
  EXPECT_NE(line_of(table, "threads").find("2.00x?"), std::string::npos) << table;
}

TEST(Table, FailedCellsHaveTheirReasonAndNoFigure) {
  auto result = cpu_campaign();
  for (auto const* model : {"sequential", "threads", "processes", "fibers", "limit"})
    measure(result, model, 500);
  fail(result, "fibers", "wrong counts: key 7 in window 0: expected 5, got 4");
  std::string const table = render_table(result);
  std::string const line = line_of(table, "fibers");
  EXPECT_NE(line.find("expected 5, got 4"), std::string::npos) << table;
  EXPECT_EQ(line.find(" M "), std::string::npos) << "no rate: " << line;
  EXPECT_NE(table.find("1 cell FAILED"), std::string::npos);
  EXPECT_EQ(table.find("every count verified"), std::string::npos);
}

TEST(Table, WithoutABaseThereIsNoRatio) {
  auto result = cpu_campaign();
  measure(result, "threads", 500);
  fail(result, "sequential", "crashed");
  std::string const table = render_table(result);
  EXPECT_EQ(line_of(table, "threads").find("x"), std::string::npos) << table;
}

TEST(Table, CellsThatDidNotConvergeAndOutliersAreMarked) {
  auto result = cpu_campaign();
  measure(result, "sequential", 1000, 0.2);
  measure(result, "threads", 500);
  auto& threads = *std::find_if(result.cells.begin(), result.cells.end(),
                                [](CellResult const& c) { return c.cell.model->name == "threads"; });
  threads.samples[3].elapsed *= 3;
  std::string const table = render_table(result);
  EXPECT_NE(line_of(table, "sequential").find("~"), std::string::npos) << table;
  EXPECT_EQ(line_of(table, "threads").find("~"), std::string::npos) << table;
  EXPECT_NE(line_of(table, "threads").find("o1"), std::string::npos) << table;
  EXPECT_NE(table.find("did not converge"), std::string::npos);
}

TEST(Table, NoMarksNoLegend) {
  auto result = cpu_campaign();
  measure(result, "sequential", 1000, 0);
  measure(result, "threads", 500, 0);
  EXPECT_EQ(render_table(result).find("\nmarks\n"), std::string::npos);
}

TEST(Table, ACellOfNoEventsHasNoRate) {
  auto result = cpu_campaign();
  measure(result, "threads", 500);
  for (auto& cell : result.cells) {
    for (auto& sample : cell.samples) sample.events = 0;
  }
  std::string const table = render_table(result);
  EXPECT_NE(line_of(table, "threads").find("counted nothing"), std::string::npos) << table;
  EXPECT_EQ(table.find("nan"), std::string::npos);
  EXPECT_EQ(table.find("inf"), std::string::npos);
}

TEST(Table, SaysWhatLimitedALookup) {
  auto result = campaign({"--model", "sequential,threads,fibers,limit", "--stream", "lookup", "--workers",
                          "1", "--wait", "1ms", "--in-flight", "100"});
  measure(result, "fibers", 10'050);  // 100 in flight at 1 ms each are 1,000 in 10 ms
  measure(result, "threads", 20'000);
  for (auto& cell : result.cells) {
    for (auto& sample : cell.samples) {
      if (cell.cell.model->name == "fibers") sample.user_s = 0.001;
      sample.service_busy_s = 0.001;
    }
  }
  std::string table = render_table(result);
  EXPECT_NE(line_of(table, "fibers").find("wait"), std::string::npos) << table;
  EXPECT_NE(line_of(table, "threads").find("CPU"), std::string::npos) << table;
  for (auto& cell : result.cells) {
    for (auto& sample : cell.samples)
      sample.service_busy_s = 0.95 * std::chrono::duration<double>(sample.elapsed).count();
  }
  table = render_table(result);
  EXPECT_NE(line_of(table, "threads").find("service"), std::string::npos) << table;
  EXPECT_NE(table.find("saturated"), std::string::npos) << table;
}

TEST(Table, SaysWhereTheMemorysBandwidthWasTheLimit) {
  auto result = cpu_campaign();
  measure(result, "fibers", 500);  // 1,000 events of 2 bytes in 0.5 ms: 4 MB/s
  result.reference_cpus = 2;
  auto const limit_with = [&](double bytes_per_s) {
    result.reference = {{.elapsed = 1ms, .read_bytes_per_s = bytes_per_s}};
    return line_of(render_table(result), "fibers");
  };
  EXPECT_NE(limit_with(4.1e6).find("memory"), std::string::npos) << limit_with(4.1e6);
  EXPECT_EQ(limit_with(8e6).find("memory"), std::string::npos) << limit_with(8e6);
  EXPECT_EQ(limit_with(0).find("memory"), std::string::npos) << "not measured";
  result.reference_cpus = 4;
  EXPECT_EQ(limit_with(4.1e6).find("memory"), std::string::npos)
      << "two CPUs can do as much as four, or half: not known";
}

TEST(Table, NamesWhatElseUsedTheMachine) {
  auto result = cpu_campaign();
  measure(result, "fibers", 500);
  result.reference = {{.elapsed = 1ms}};
  result.others = {{.pid = 7, .name = "backup", .cpus = 0.5}, {.pid = 8, .name = "mail", .cpus = 0.25}};
  std::string const table = render_table(result, 1000);
  EXPECT_NE(table.find("other processes used 75% of a CPU, most of them backup"), std::string::npos) << table;
}

TEST(Table, NotesStandAtTheTopAndInterruptionsAtTheEnd) {
  auto result = cpu_campaign();
  result.notes = {"the noise floor is wider than the interval asked for"};
  result.interrupted = true;
  std::string const table = render_table(result);
  EXPECT_TRUE(table.starts_with("note: the noise floor"));
  EXPECT_NE(table.find("INTERRUPTED"), std::string::npos);
  EXPECT_NE(line_of(table, "threads").find("not measured"), std::string::npos);
  EXPECT_EQ(table.find("verified"), std::string::npos) << "of nothing";
}

TEST(Table, ACampaignOnAnUnfitMachineSaysSoInItsFirstLine) {
  auto result = cpu_campaign();
  result.options.ci = 0.03;
  auto const floor = [&](int greatest_ms) {
    result.reference.clear();
    for (int i = 0; i < 10; ++i)
      result.reference.push_back({.elapsed = std::chrono::milliseconds(i % 2 == 0 ? 1000 : greatest_ms)});
    return render_table(result);
  };
  EXPECT_TRUE(floor(1200).starts_with("NOISY: this machine's noise floor is ±9.1%, wider than the ±3.0%"))
      << floor(1200);
  EXPECT_EQ(floor(1010).find("NOISY"), std::string::npos);
  EXPECT_NE(floor(1010).find("noise floor ±0.5%"), std::string::npos) << floor(1010);
  measure(result, "fibers", 500, 0.0001);
  EXPECT_NE(line_of(floor(1010), "fibers").find("±0.5%"), std::string::npos)
      << "no claim is narrower than the floor: " << floor(1010);
  for (std::size_t i = 0; i < 10; ++i) result.reference[i].read_bytes_per_s = i % 2 == 0 ? 10e9 : 14e9;
  EXPECT_TRUE(render_table(result).starts_with(
      "NOISY: the speed at which this machine reads memory is known to ±16.7% only, wider than the ±3.0%"))
      << render_table(result);
  for (Cell& cell : result.plan.cells) cell.stream = StreamKind::lookup;
  EXPECT_EQ(result.unfit(), "") << "lookups do not wait for memory";
  result.reference.assign(10, {.elapsed = 1ms});
  result.reference[0].elapsed = result.reference[1].elapsed = 10ms;
  result.reference[2].elapsed = result.reference[3].elapsed = 10ms;
  EXPECT_EQ(result.claimed({.median = 100, .low = 99, .high = 101, .coverage = 1, .n = 10}).low, 0)
      << "no rate is below 0: " << *result.floor_half_width();
  result.reference.resize(5);
  EXPECT_EQ(result.unfit(), "") << "of five rounds no interval, and no claim";
}

TEST(Table, LinesKeepToTheWidth) {
  auto result = cpu_campaign();
  for (auto const* model : {"sequential", "threads", "processes", "limit"}) measure(result, model, 500, 0.2);
  std::string reason;
  for (int i = 0; i < 60; ++i) reason += "reason ";
  fail(result, "fibers", reason);
  result.notes = {reason};
  for (std::size_t const width : {110u, 120u}) {
    std::istringstream lines(render_table(result, width));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), width) << line;
  }
}

TEST(TextTable, AlignsByCodePointsAndLeavesNoBlanksAtTheEnd) {
  TextTable table(
      {{"a", TextTable::Align::left}, {"b", TextTable::Align::right}, {"c", TextTable::Align::left}});
  table.row({"\u00b1x", "1", ""});
  table.row({"y", "22", "z"});
  EXPECT_EQ(table.str(80),
            "a    b  c\n"
            "\u00b1x   1\n"
            "y   22  z\n");
}

TEST(TextTable, WrapsAtBlanks) {
  EXPECT_EQ(wrap("one two three", 8, 2), "one two\n  three");
  EXPECT_EQ(wrap("", 8, 2), "");
  EXPECT_EQ(wrap("unbreakable", 3, 0), "unbreakable");
}

}  // namespace
}  // namespace tally
