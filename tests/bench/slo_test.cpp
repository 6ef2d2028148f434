// `--slo`: the search for the highest rate that keeps a latency, on models that are simulated.
#include "bench/plan/slo.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/analysis/slo_answer.hpp"
#include "bench/base/json.hpp"
#include "bench/base/units.hpp"
#include "bench/campaign/campaign.hpp"
#include "bench/campaign/slo_search.hpp"
#include "bench/cli/options.hpp"
#include "bench/output/record.hpp"
#include "bench/output/table.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "tests/bench/quick_campaign.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

/// A model that keeps the objective up to a rate, and over a longer measurement up to another.
SloMeasure keeps_up_to(double rate, double longer_rate) {
  return [=](double offered, bool longer) {
    return SloProbe{
        .rate_per_s = offered, .longer = longer, .kept = offered <= (longer ? longer_rate : rate)};
  };
}

TEST(Slo, IsReadAndSpelledAlike) {
  Slo const slo = parse_slo("--slo", "p99.9=5ms");
  EXPECT_EQ(slo.percent, 99.9);
  EXPECT_EQ(slo.latency, 5ms);
  EXPECT_EQ(spell(slo), "p99.9=5ms");
  for (char const* wrong : {"", "p99", "99=5ms", "p=5ms", "p99=", "p99=5", "p99=0ms", "p100=5ms", "p0=5ms",
                            "p-1=1ms", "pnan=1ms"})
    EXPECT_THROW(parse_slo("--slo", wrong), UsageError) << wrong;
}

TEST(Slo, TheHighestRateIsFoundFromEitherSide) {
  for (double const highest : {130.0, 5'000.0, 310'000.0, 9.9e6}) {
    for (double const first : {200.0, 310'000.0, 5e7}) {
      SloAnswer const answer = find_highest_rate(keeps_up_to(highest, highest), first);
      ASSERT_TRUE(answer.rate_per_s) << highest << " from " << first;
      EXPECT_LE(*answer.rate_per_s, highest);
      EXPECT_GE(*answer.rate_per_s, highest / 1.06) << "from " << first;
      EXPECT_TRUE(answer.probes.back().longer && answer.probes.back().kept) << "verified";
      EXPECT_LT(answer.probes.size(), 60u);
    }
  }
}

TEST(Slo, ARateThatDoesNotHoldForLongerIsNotTheAnswer) {
  SloAnswer const answer = find_highest_rate(keeps_up_to(100'000, 70'000), 50'000);
  ASSERT_TRUE(answer.rate_per_s);
  EXPECT_LE(*answer.rate_per_s, 70'000);
  EXPECT_GE(*answer.rate_per_s, 70'000 / 1.45);
}

TEST(Slo, WhatKeepsItAtNoRateHasNone) {
  SloAnswer const never = find_highest_rate(keeps_up_to(0, 0), 300'000);
  EXPECT_FALSE(never.rate_per_s);
  EXPECT_EQ(never.probes.back().rate_per_s, 100) << "and that was tried";
  EXPECT_FALSE(find_highest_rate(keeps_up_to(1000, 0), 300'000).rate_per_s) << "not for longer";
}

TEST(Slo, OneStallDoesNotMakeARateTooHigh) {
  int measured = 0;
  SloAnswer const answer = find_highest_rate(
      [&](double offered, bool longer) {
        bool const stall = !longer && ++measured % 2 == 1;
        return SloProbe{.rate_per_s = offered, .longer = longer, .kept = !stall && offered <= 80'000};
      },
      80'000);
  ASSERT_TRUE(answer.rate_per_s);
  EXPECT_GE(*answer.rate_per_s, 76'000);
}

TEST(Slo, AGeneratorThatIsTheLimitIsNamed) {
  auto const with = [](bool late) {
    return find_highest_rate(
        [=](double offered, bool longer) {
          bool const kept = offered <= 500'000;
          return SloProbe{
              .rate_per_s = offered, .longer = longer, .generator_late = late && !kept, .kept = kept};
        },
        100'000);
  };
  EXPECT_TRUE(with(true).generator_limited);
  EXPECT_FALSE(with(false).generator_limited);
}

RunOptions slo_options(std::vector<std::string> arguments) {
  return parse_run_options(arguments, all_models());
}

TEST(Slo, IsForIngestAndFindsTheRatesItself) {
  EXPECT_THROW(slo_options({"--slo", "p99=5ms"}), UsageError);
  EXPECT_THROW(slo_options({"--stream", "ingest,cpu", "--slo", "p99=5ms"}), UsageError);
  EXPECT_THROW(slo_options({"--stream", "ingest", "--slo", "p99=5ms", "--rate", "1k"}), UsageError);
  Plan const plan =
      make_plan(slo_options({"--stream", "ingest", "--slo", "p99=5ms", "--connections", "1,2"}));
  ASSERT_EQ(plan.groups.size(), 2u);
  EXPECT_TRUE(plan.groups[0].slo);
}

TEST(Slo, ACampaignMeasuresAModelAtTheRateThatWasFound) {
  // Two connections, each of which waits 400 us for every event: no more than 5,000 events a second.
  RunOptions asked = quick(slo_options(
      {"--stream", "ingest",   "--model", "event_loop",   "--workers", "1",       "--connections", "2",
       "--lookup", "--wait",   "400us",   "--wait-dist",  "fixed",     "--grain", "10us",          "--slo",
       "p50=50ms", "--rounds", "1",       "--no-progress"}));
  asked.rated_lengths = {.sample = 100ms,
                         .probe_events = 200,
                         .probe_least = 40ms,
                         .probe_most = 100ms,
                         .longer_least = 200ms,
                         .longer_most = 200ms};
  CampaignResult const result = run_campaign(asked, make_plan(asked));
  CellResult const& cell = result.cells.at(0);
  ASSERT_TRUE(cell.slo && cell.slo->rate_per_s);
  EXPECT_EQ(cell.cell.rate_per_s, *cell.slo->rate_per_s);
  EXPECT_LT(cell.cell.rate_per_s, 10'000) << "at which 200 ms of events take 400 ms";
  ASSERT_EQ(cell.samples.size(), 1u);
  EXPECT_EQ(cell.samples[0].events, two_digits(cell.cell.rate_per_s * 0.1)) << "100 ms at that rate";
  for (SloProbe const& probe : cell.slo->probes) {
    double const length_s = probe.longer ? 0.2 : std::clamp(200 / probe.rate_per_s, 0.04, 0.1);
    EXPECT_EQ(probe.events, two_digits(probe.rate_per_s * length_s)) << probe.rate_per_s;
  }
  auto const slo = Json::parse(record_text(result))["context"]["slo"];
  EXPECT_EQ(slo["percentile"], 50);
  ASSERT_EQ(slo["searches"].size(), 1u);
  EXPECT_EQ(slo["searches"][0]["cell"], cell.cell.name());
  EXPECT_EQ(slo["searches"][0]["probes"].size(), cell.slo->probes.size());
  EXPECT_NE(render_table(result).find("the highest rate with p50=50ms"), std::string::npos)
      << render_table(result);
}

TEST(Slo, AModelWithoutARateHasARowThatSaysWhy) {
  CampaignResult result;
  result.options = slo_options({"--stream", "ingest", "--slo", "p99=5ms"});
  CellResult& cell = result.cells.emplace_back();
  cell.cell = {{.stream = StreamKind::ingest}, &all_models()[0]};
  cell.slo =
      SloAnswer{.probes = {{.rate_per_s = 800, .latency_s = 2.0}, {.rate_per_s = 100, .latency_s = 1.5}}};
  cell.closed = Closed::no_rate;
  result.plan.cells = {cell.cell};
  result.plan.groups = {{{.stream = StreamKind::ingest}, true, {0}}};
  std::string const table = render_table(result);
  EXPECT_NE(table.find("keeps p99=5ms at no rate: at 100 events/s it was 1.50 s"), std::string::npos)
      << table;
  EXPECT_EQ(table.find("latency of"), std::string::npos) << "there are none";
  EXPECT_FALSE(result.any_failed()) << "that is a result";
}

TEST(Slo, AModelWhoseGeneratorWasTheLimitRanksBelowNobody) {
  auto const ranks = [](bool generator_limited) {
    CampaignResult result;
    result.options = slo_options({"--stream", "ingest", "--slo", "p99=5ms"});
    for (double const rate : {500'000.0, 300'000.0}) {
      CellResult& cell = result.cells.emplace_back();
      cell.cell = {{.stream = StreamKind::ingest, .rate_per_s = rate}, &all_models()[rate > 400'000 ? 1 : 2]};
      cell.slo = SloAnswer{.rate_per_s = rate, .generator_limited = generator_limited, .probes = {}};
      cell.analytic_bound = INFINITY;
      for (int round = 0; round < 10; ++round) {
        Sample& sample = cell.samples.emplace_back();
        sample.events = static_cast<std::uint64_t>(rate);
        sample.elapsed = 1s;
        sample.round = round;
      }
      result.plan.cells.push_back(cell.cell);
    }
    result.plan.groups = {{{.stream = StreamKind::ingest}, true, {0, 1}}};
    return render_table(result);
  };
  EXPECT_EQ(ranks(false).find("\n1= "), std::string::npos) << ranks(false);
  EXPECT_NE(ranks(true).find("\n1= "), std::string::npos) << ranks(true);
}

}  // namespace
}  // namespace tally
