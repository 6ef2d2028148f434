// What is read from a result file: that of the long run, whatever waits a sample drew.
#include "bench/advice/result_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/drawn_waits.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/cli/options.hpp"
#include "bench/output/manifest.hpp"
#include "bench/output/record.hpp"
#include "bench/plan/run_options.hpp"
#include "tests/bench/bench_models.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

constexpr double kLongRun_per_s = 1500;
constexpr int kInFlight = 16;
constexpr std::uint64_t kEvents = 300;

/// A campaign of one cell of lookups: what waits for 10 ms, 16 at a time, has 1,500 events/s in the long run,
/// and in a sample what the waits make of that.
CampaignResult short_samples(std::vector<std::string> const& more = {}) {
  std::vector<std::string> arguments{"--model", "fibers", "--stream", "lookup", "--wait",
                                     "10ms",    "--seed", "5",        "--out",  "unused.json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  CampaignResult result;
  result.options = parse_run_options(arguments, kTestModels);
  result.manifest = make_manifest(result.options, nullptr, 0);
  CellResult cell;
  cell.cell = {{.stream = StreamKind::lookup, .wait = 10ms, .in_flight = kInFlight},
               result.options.models.front(),
               kEvents};
  cell.analytic_bound = INFINITY;
  cell.drawn_waits.emplace(WaitSpec{10ms, WaitDistribution::exponential}, 5, kEvents, kInFlight);
  for (int round = 0; round < 6; ++round) {
    Sample sample;
    sample.round = round;
    sample.events = sample.replies = kEvents;
    double const took_s =
        static_cast<double>(kEvents) / kLongRun_per_s + cell.drawn_waits->added_s(kLongRun_per_s);
    sample.elapsed = std::chrono::nanoseconds(std::llround(took_s * 1e9));
    cell.samples.push_back(sample);
  }
  result.plan.cells.push_back(cell.cell);
  result.plan.groups.push_back({{.stream = StreamKind::lookup}, false, {0}});
  result.cells.push_back(std::move(cell));
  result.rounds = 6;
  return result;
}

ResultFile read_back(CampaignResult const& result) {
  auto const path =
      std::filesystem::temp_directory_path() / ("tally_result_" + std::to_string(::getpid()) + ".json");
  write_record(result, path);
  ResultFile const file = read_result_file(path);
  std::filesystem::remove(path);
  return file;
}

TEST(ResultFile, SaysOfShortSamplesWhatTheyWouldBeInTheLongRun) {
  CampaignResult const result = short_samples();
  EXPECT_LT(result.cells[0].throughput()->median, 0.95 * kLongRun_per_s) << "the sample's end takes its part";
  ResultFile const file = read_back(result);
  ASSERT_EQ(file.cells.size(), 1u);
  EXPECT_NEAR(file.cells[0].items_per_second, kLongRun_per_s, 1);
  EXPECT_NEAR(result.cells[0].long_run_throughput()->median, kLongRun_per_s, 1);
}

TEST(ResultFile, SaysWhatCpusDidThatWaited) {
  EXPECT_EQ(read_back(short_samples()).idle, Idle::halt);
  EXPECT_EQ(read_back(short_samples({"--idle", "poll"})).idle, Idle::poll);
}

}  // namespace
}  // namespace tally
