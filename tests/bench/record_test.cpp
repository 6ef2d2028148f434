#include "bench/output/record.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/base/json.hpp"
#include "bench/base/sha256.hpp"
#include "bench/output/library_report.hpp"
#include "bench/output/manifest.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "tests/bench/bench_models.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;
Sample a_sample(int round, std::chrono::nanoseconds elapsed) {
  Sample s;
  s.elapsed = elapsed;
  s.startup = 1ms;
  s.teardown = 2ms;
  s.user_s = 0.25;
  s.sys_s = 0.125;
  s.peak_rss_bytes = 1 << 20;
  s.ctx_voluntary = 3;
  s.ctx_involuntary = 4;
  s.workers_ran = 2;
  s.events = 1000;
  s.tasks = 10;
  s.round = round;
  s.order = 1;
  s.started_s = 1.5;
  return s;
}

Sample a_failed_sample(std::string reason) {
  Sample s;
  s.failure = std::move(reason);
  s.round = 1;
  return s;
}

class Record : public testing::Test {
 protected:
  Record() {
    for (std::size_t i : {0, 3, 6}) {
      CellResult cell;
      cell.cell = {{.workers = i == 0 ? 1 : 2}, &kTestModels[i], 1000};
      cell.closed = Closed::rounds;
      cell.analytic_bound = 20'000;
      for (int round = 0; round < 2; ++round) cell.samples.push_back(a_sample(round, (round + 1) * 100ms));
      result_.plan.cells.push_back(cell.cell);
      result_.cells.push_back(cell);
    }
    result_.plan.groups.push_back({{.workers = 2}, false, {0, 1, 2}});
    result_.options.ci = 0.03;
    result_.rounds = 2;
  }

  Json text() const { return Json::parse(record_text(result_)); }
  Json entry(std::string const& name) const {
    Json const record = text();
    for (Json const& e : record["benchmarks"])
      if (e["name"] == name) return e;
    ADD_FAILURE() << "no entry " << name;
    return {};
  }

  CampaignResult result_;
  std::string const fibers_ = "cpu/fibers/workers:2/grain_ns:0/batch:1";
};

TEST_F(Record, HasEveryKeyOfTheContractInASample) {
  Json const e = entry(fibers_);
  for (char const* const key : {"name",
                                "family_index",
                                "per_family_instance_index",
                                "run_name",
                                "run_type",
                                "repetitions",
                                "repetition_index",
                                "threads",
                                "iterations",
                                "real_time",
                                "cpu_time",
                                "time_unit",
                                "items_per_second",
                                "startup_s",
                                "cpu_s",
                                "user_s",
                                "sys_s",
                                "peak_rss_bytes",
                                "ctx_voluntary",
                                "ctx_involuntary",
                                "bound_items_per_second",
                                "efficiency",
                                "verified",
                                "round",
                                "order",
                                "started_s"})
    EXPECT_TRUE(e.contains(key)) << key;
  EXPECT_EQ(e["run_type"], "iteration");
  EXPECT_DOUBLE_EQ(e["real_time"].get<double>(), 100);
  EXPECT_EQ(e["time_unit"], "ms");
  EXPECT_DOUBLE_EQ(e["items_per_second"].get<double>(), 10'000);
  EXPECT_DOUBLE_EQ(e["cpu_s"].get<double>(), 0.375);
  EXPECT_EQ(e["verified"], true);
  EXPECT_DOUBLE_EQ(e["efficiency"].get<double>(), 0.5) << "10,000 of 20,000 events/s";
}

TEST_F(Record, HasAggregatesWithIntervalAndReasonOfClosing) {
  Json const median = entry(fibers_ + "_median");
  EXPECT_EQ(median["run_type"], "aggregate");
  EXPECT_EQ(median["aggregate_name"], "median");
  EXPECT_DOUBLE_EQ(median["items_per_second"].get<double>(), 7500);
  EXPECT_DOUBLE_EQ(median["items_per_second_low"].get<double>(), 5000);
  EXPECT_DOUBLE_EQ(median["items_per_second_high"].get<double>(), 10'000);
  EXPECT_EQ(median["closed"], "rounds");
  EXPECT_EQ(median["converged"], false);
  EXPECT_DOUBLE_EQ(median["ratio_to_sequential"].get<double>(), 1);
  EXPECT_DOUBLE_EQ(entry(fibers_ + "_mean")["real_time"].get<double>(), 150);
  EXPECT_DOUBLE_EQ(entry(fibers_ + "_stddev")["items_per_second"].get<double>(), 5000 / std::sqrt(2.0));
  EXPECT_NEAR(entry(fibers_ + "_cv")["real_time"].get<double>(), std::sqrt(5000.0) / 150, 1e-12);
}

TEST_F(Record, SaysWhyANumberIsAbsent) {
  result_.cells[2].failure = "crashed";
  result_.cells[1].samples[0].elapsed = 0ns;  // a rate that is not finite
  result_.cells[1].analytic_bound = INFINITY;
  Json const e = entry(fibers_);
  EXPECT_FALSE(e.contains("efficiency"));
  EXPECT_TRUE(e["efficiency_absent"].get<std::string>().starts_with("no bound"));
  EXPECT_FALSE(e.contains("items_per_second"));
  EXPECT_EQ(e["items_per_second_absent"], "not finite");
}

TEST_F(Record, OfAFailedCellHasTheReasonAndNoFigure) {
  result_.cells[1].failure = "wrong count: key 3: expected 7, got 8";
  result_.cells[1].samples[1] = a_failed_sample(result_.cells[1].failure);
  int entries = 0;
  Json const record = text();
  for (Json const& e : record["benchmarks"]) {
    if (e["run_name"] != fibers_) continue;
    ++entries;
    EXPECT_EQ(e["run_type"], "iteration") << "no aggregate";
    EXPECT_EQ(e["error_occurred"], true);
    EXPECT_FALSE(e.contains("items_per_second"));
    EXPECT_FALSE(e.contains("real_time"));
    EXPECT_NE(e["error_message"].get<std::string>().find("expected 7, got 8"), std::string::npos);
  }
  EXPECT_EQ(entries, 2);
  EXPECT_EQ(record["benchmarks"].back()["run_name"], "cpu/limit/workers:2/grain_ns:0/batch:1");
}

TEST_F(Record, OfACellThatFellBehindItsRateHasNoLatency) {
  CellResult& cell = result_.cells[1];
  cell.cell.stream = StreamKind::ingest;
  cell.cell.rate_per_s = 1e6;
  for (auto* const latencies : {&cell.corrected, &cell.uncorrected}) {
    *latencies = make_latencies();
    (*latencies)->record(5ms);
  }
  auto const expect_latency = [&](bool expected) {
    Json const median = entry(cell.cell.name() + "_median"), sample = entry(cell.cell.name());
    for (char const* const key : {"latency", "latency_uncorrected"}) {
      EXPECT_EQ(median.contains(key), expected) << key;
      EXPECT_EQ(sample.contains(std::string(key) + "_p99_s"), expected) << key;
    }
    EXPECT_EQ(median.contains("latency_absent"), !expected);
    EXPECT_EQ(sample.contains("latency_p99_s_absent"), !expected);
  };
  for (Sample& sample : cell.samples) sample.load.emplace();
  expect_latency(true);
  for (Sample& sample : cell.samples) sample.load->behind_s = 1;
  expect_latency(false);
}

TEST_F(Record, OfBytesThatAreNoTextIsStillJson) {
  result_.cells[1].failure = "wrong count: key \"\xff\xfe\"";
  result_.cells[1].samples[0].failure = result_.cells[1].failure;
  EXPECT_NO_THROW(text());
}

TEST_F(Record, ArraysOfNumbersAreALineEachAndTextsStayAsTheyAre) {
  result_.manifest = R"({"batch": [1, 256], "of": [[1.5, -2e3], []]})";
  result_.cells[1].failure = "wrong count: [ 1,\n 2] and \"[3,  4\\";
  result_.cells[1].samples[0].failure = result_.cells[1].failure;
  std::string const all = record_text(result_);
  EXPECT_NE(all.find("\"batch\": [1, 256],\n    \"of\": [[1.5, -2000.0], []]"), std::string::npos);
  for (std::size_t at = 0; (at = all.find("[\n", at)) != std::string::npos; ++at)
    EXPECT_FALSE(std::isdigit(all[all.find_first_not_of(" \n[", at)])) << all.substr(at, 80);
  bool there = false;
  Json const record = text();
  for (Json const& e : record["benchmarks"])
    there = there || (e.contains("error_message") && e["error_message"].get<std::string>().find(
                                                         "[ 1,\n 2] and \"[3,  4\\") != std::string::npos);
  EXPECT_TRUE(there);
}

TEST_F(Record, ResultIdIsTheHashOfTheRestAndChangesWithIt) {
  std::string all = record_text(result_);
  auto const id = text()["context"]["result_id"].get<std::string>();
  ASSERT_EQ(id.size(), 16u);
  all.replace(all.find(id), id.size(), "");
  EXPECT_EQ(sha256(all).substr(0, 16), id);
  result_.cells[1].samples[0].events = 1001;
  EXPECT_NE(text()["context"]["result_id"], id);
}

TEST_F(Record, HasTheManifestAsContext) {
  result_.options.command_line = {"--order-seed", "5"};
  result_.options.order_seed = 5;
  result_.options.benchmark.context = {{"why", "a test"}, {"date", "not to be replaced"}};
  result_.manifest = make_manifest(result_.options, nullptr, 0.4);
  Json const c = text()["context"];
  for (char const* const key :
       {"date",     "host_name",          "executable",    "num_cpus",     "mhz_per_cpu", "caches",
        "load_avg", "library_build_type", "tally_version", "tally_commit", "tally_tree",  "binary_sha256",
        "build",    "command_line",       "factors",       "kernel",       "cpu_model",   "cpus_usable",
        "governor", "virtualisation",     "memory_bytes",  "limits",       "result_id",   "interrupted"})
    EXPECT_TRUE(c.contains(key)) << key;
  EXPECT_EQ(c["factors"]["order_seed"], 5);
  EXPECT_EQ(c["command_line"], (Json{"tally", "run", "--order-seed", "5"}));
  EXPECT_EQ(c["why"], "a test");
  EXPECT_NE(c["date"], "not to be replaced");
  EXPECT_EQ(c["binary_sha256"].get<std::string>().size(), 64u);
  EXPECT_DOUBLE_EQ(c["grain_links_per_ns"].get<double>(), 0.4);
}

TEST_F(Record, ConsoleAndCsvOfTheLibraryShowEveryCell) {
  result_.cells[2].failure = "crashed";
  result_.cells[2].samples[1] = a_failed_sample("crashed");
  for (char const* const format : {"console", "csv"}) {
    std::ostringstream out;
    print_in_library_format(result_, format, false, out);
    for (char const* const part :
         {"cpu/sequential/workers:1", "cpu/fibers/workers:2", "_median", "_cv", "crashed"})
      EXPECT_NE(out.str().find(part), std::string::npos) << format << " lacks " << part << "\n" << out.str();
  }
  std::ostringstream json;
  print_in_library_format(result_, "json", false, json);
  EXPECT_EQ(json.str(), record_text(result_));
}

TEST_F(Record, LibraryRunsKeepTheirTimes) {
  auto const runs = library_runs(result_, false);
  ASSERT_EQ(runs.size(), 3u * (2 + 4));
  double const unit = benchmark::GetTimeUnitMultiplier(runs[0].time_unit);
  EXPECT_DOUBLE_EQ(runs[0].GetAdjustedRealTime(), 0.1 * unit);
  EXPECT_EQ(runs[2].aggregate_name, "median");
  EXPECT_NEAR(runs[2].GetAdjustedRealTime(), 0.15 * unit, 1e-9 * unit);
  EXPECT_EQ(library_runs(result_, true).size(), 3u * 4);
}

}  // namespace
}  // namespace tally
