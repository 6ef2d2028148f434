#include "workloads/counting/latency_histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "workloads/base/random.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<LatencyHistogram> empty() { return std::make_unique<LatencyHistogram>(); }

TEST(LatencyHistogram, KeepsThreeSignificantDigitsFromAMicrosecondToAHundredSeconds) {
  for (double value = 1e3; value <= 100e9; value *= 1.007) {
    auto const ns = static_cast<std::int64_t>(value);
    auto const h = empty();
    h->record(std::chrono::nanoseconds(ns));
    h->record(1000s);  // so that the greatest is not what is read
    auto const read = static_cast<double>(h->at_percentile(50).count());
    ASSERT_GE(read, static_cast<double>(ns));
    ASSERT_LE(read - static_cast<double>(ns), static_cast<double>(ns) * 1e-3) << ns;
  }
}

TEST(LatencyHistogram, PartsFollowEachOtherWithoutGapOrOverlap) {
  EXPECT_EQ(LatencyHistogram::least_ns(0), 0u);
  for (std::size_t i = 1; i < LatencyHistogram::kParts; ++i)
    ASSERT_EQ(LatencyHistogram::least_ns(i), LatencyHistogram::greatest_ns(i - 1) + 1) << i;
  EXPECT_EQ(LatencyHistogram::greatest_ns(LatencyHistogram::kParts - 1), LatencyHistogram::kMost_ns);
}

TEST(LatencyHistogram, EveryValueCountsInThePartThatHoldsIt) {
  IndexedRandom random(3, 0);
  for (int i = 0; i < 200; ++i) {
    std::uint64_t const ns = random.next() >> (27 + random.below(37));
    auto const h = empty();
    h->record(std::chrono::nanoseconds(static_cast<std::int64_t>(ns)));
    std::size_t part = 0;
    while (h->count(part) == 0) ++part;
    ASSERT_LE(LatencyHistogram::least_ns(part), ns);
    ASSERT_GE(LatencyHistogram::greatest_ns(part), ns);
  }
}

TEST(LatencyHistogram, PercentilesAreThoseOfTheSortedValues) {
  auto const h = empty();
  std::vector<std::int64_t> values;
  IndexedRandom random(9, 1);
  for (int i = 0; i < 9'999; ++i) {
    values.push_back(static_cast<std::int64_t>(random.below(3'000'000'000)));
    h->record(std::chrono::nanoseconds(values.back()));
  }
  std::sort(values.begin(), values.end());
  for (double const percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
    auto const rank = static_cast<std::size_t>(std::max(1.0, std::ceil(percent / 100 * 9'999 - 1e-6)));
    auto const exact = static_cast<double>(values[rank - 1]);
    auto const read = static_cast<double>(h->at_percentile(percent).count());
    EXPECT_GE(read, exact) << percent;
    EXPECT_LE(read, exact * 1.001 + 1) << percent;
  }
  EXPECT_EQ(h->at_percentile(100), h->greatest()) << "the greatest is exact";
}

TEST(LatencyHistogram, OfNothingHasNoLatency) {
  auto const h = empty();
  EXPECT_EQ(h->total(), 0u);
  EXPECT_EQ(h->at_percentile(99), 0ns);
  EXPECT_EQ(h->mean_ns(), 0);
  EXPECT_EQ(h->standard_deviation_ns(), 0);
  EXPECT_NE(h->percentile_text().find("Total count    =            0"), std::string::npos);
}

TEST(LatencyHistogram, ValuesOutsideItsRangeCountAtItsEnds) {
  auto const h = empty();
  h->record(-5ns);
  h->record(2000s);
  EXPECT_EQ(h->total(), 2u);
  EXPECT_EQ(h->at_percentile(50), 0ns);
  EXPECT_EQ(static_cast<std::uint64_t>(h->greatest().count()), LatencyHistogram::kMost_ns);
}

TEST(LatencyHistogram, MergedAreAsIfOneHadCountedAll) {
  auto const one = empty(), two = empty(), both = empty();
  for (int i = 1; i <= 1000; ++i) {
    (i % 3 == 0 ? one : two)->record(i * 17us);
    both->record(i * 17us);
  }
  auto const before = *one;
  one->merge(*two);
  EXPECT_EQ(one->percentile_text(), both->percentile_text());
  EXPECT_EQ(one->since(before).total(), two->total());
  EXPECT_EQ(one->since(before).at_percentile(10), two->at_percentile(10));
}

TEST(LatencyHistogram, AboveCountsWhatIsCertainlyAbove) {
  auto const h = empty();
  for (int ms : {1, 5, 50, 95, 99, 200}) h->record(std::chrono::milliseconds(ms));
  EXPECT_EQ(h->above(90ms), 3u);
  EXPECT_EQ(h->above(0ns), 6u);
  EXPECT_EQ(h->above(10s), 0u);
}

/// What a line of the text says: value in ms, percentile, count, and 1/(1-percentile) if there.
struct Line {
  double value_ms, percentile;
  std::uint64_t count;
};

TEST(LatencyHistogram, WritesPercentilesInHdrHistogramsFormat) {
  auto const h = empty();
  for (int i = 1; i <= 10'000; ++i) h->record(i * 1us);
  std::istringstream text(h->percentile_text());
  std::string head;
  std::getline(text, head);
  EXPECT_EQ(head, "       Value     Percentile TotalCount 1/(1-Percentile)");
  std::string line;
  std::getline(text, line);
  EXPECT_EQ(line, "");
  std::vector<Line> lines;
  std::vector<std::string> foot;
  while (std::getline(text, line)) {
    if (line.starts_with("#[")) {
      foot.push_back(line);
      continue;
    }
    ASSERT_TRUE(foot.empty());
    std::istringstream fields(line);
    Line read{};
    ASSERT_TRUE(fields >> read.value_ms >> read.percentile >> read.count) << line;
    double inverse = 0;
    if (fields >> inverse) {
      EXPECT_NEAR(inverse, 1 / (1 - read.percentile), 0.01 * inverse);
    }
    lines.push_back(read);
  }
  ASSERT_GE(lines.size(), 40u);
  EXPECT_EQ(lines.front().percentile, 0);
  EXPECT_EQ(lines.back().percentile, 1);
  EXPECT_EQ(lines.back().count, 10'000u);
  EXPECT_DOUBLE_EQ(lines.back().value_ms, 10);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    EXPECT_GE(lines[i].percentile, lines[i - 1].percentile);
    EXPECT_GE(lines[i].value_ms, lines[i - 1].value_ms);
    EXPECT_GE(static_cast<double>(lines[i].count), lines[i].percentile * 10'000 - 1e-6);
    EXPECT_NEAR(lines[i].value_ms, static_cast<double>(lines[i].count) / 1000, 0.011);
  }
  // HdrHistogram's steps: five to each halving of what is left to 100%.
  EXPECT_DOUBLE_EQ(lines[1].percentile, 0.1);
  EXPECT_DOUBLE_EQ(lines[5].percentile, 0.5);
  EXPECT_DOUBLE_EQ(lines[6].percentile, 0.55);
  EXPECT_DOUBLE_EQ(lines[10].percentile, 0.75);
  ASSERT_EQ(foot.size(), 3u);
  EXPECT_TRUE(foot[0].starts_with("#[Mean    =     5.00")) << foot[0];
  EXPECT_EQ(foot[1], "#[Max     =    10.000000, Total count    =        10000]");
  EXPECT_EQ(foot[2], "#[Buckets =           27, SubBuckets     =         2048]");
}

}  // namespace
}  // namespace tally
