// How often an interval holds the median that it is to hold: by simulation, with fixed seeds, of
// distributions whose median is known exactly.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "bench/base/statistics.hpp"
#include "bench/campaign/rounds.hpp"
#include "bench/plan/run_options.hpp"
#include "workloads/base/random.hpp"

namespace tally {
namespace {

/// A distribution with median 1, of which noise as that of samples is some percent wide.
struct Distribution {
  std::string name;
  std::function<double(IndexedRandom&)> draw;
};

double uniform(IndexedRandom& random) {  // in (0, 1)
  return (static_cast<double>(random.below(1ULL << 52)) + 0.5) / static_cast<double>(1ULL << 52);
}
double normal(IndexedRandom& random) {  // Box & Muller, 1958
  return std::sqrt(-2 * std::log(uniform(random))) * std::cos(2 * std::numbers::pi * uniform(random));
}

std::vector<Distribution> distributions(double width) {
  return {{"normal", [=](IndexedRandom& r) { return 1 + width * normal(r); }},
          {"skewed, as times with a long tail",
           [=](IndexedRandom& r) { return 1 + width * (std::exp(normal(r)) - 1); }},
          {"heavy tails, without a mean",
           [=](IndexedRandom& r) { return 1 + width * std::tan(std::numbers::pi * (uniform(r) - 0.5)); }},
          {"two speeds",
           [=](IndexedRandom& r) { return 1 + width * normal(r) + (uniform(r) < 0.5 ? 1 : -1) * width; }},
          {"ties: five values",
           [=](IndexedRandom& r) { return 1 + width * (static_cast<double>(r.below(5)) - 2); }}};
}

constexpr int kCampaigns = 2000;
/// Three standard deviations of a share of 95% in so many.
constexpr double kChance = 3 * 0.0049;

/// The share of simulated campaigns whose interval holds the median, 1. `looks(n)` says whether the interval
/// is looked at after the n-th round, and `stops(interval)` whether the campaign then ends.
template <class Looks, class Stops>
double coverage(Distribution const& of, double confidence, int most_rounds, Looks&& looks, Stops&& stops) {
  int held = 0;
  for (int c = 0; c < kCampaigns; ++c) {
    IndexedRandom random(7, static_cast<std::uint64_t>(c));
    std::vector<double> values;
    for (int n = 1; n <= most_rounds; ++n) {
      values.push_back(of.draw(random));
      if (n < most_rounds && !looks(n)) continue;
      Interval const interval = median_interval(values, confidence);
      if (n < most_rounds && !stops(interval)) continue;
      held += interval.low <= 1 && 1 <= interval.high;
      break;
    }
  }
  return static_cast<double>(held) / kCampaigns;
}

/// After a number of rounds that was fixed beforehand.
double coverage_after(int rounds, Distribution const& of, double confidence) {
  return coverage(
      of, confidence, rounds, [](int) { return false; }, [](Interval const&) { return false; });
}

TEST(Coverage, OfTheIntervalIsWhatItSaysWhateverTheDistribution) {
  for (int const rounds : {6, 10, 17, 40}) {
    double const exact = median_ranks(rounds).coverage;
    for (Distribution const& d : distributions(0.03)) {
      double const held = coverage_after(rounds, d, kConfidence);
      EXPECT_GE(held, exact - kChance) << d.name << ", " << rounds << " rounds";
      if (!d.name.starts_with("ties")) {
        EXPECT_LE(held, exact + kChance) << d.name << ", " << rounds << " rounds";
      }
    }
  }
}

TEST(Coverage, OfAnIntervalThatIsCorrectedForManyComparisonsIsGreaterByAsMuch) {
  double const confidence = 1 - 0.05 / 20;
  for (Distribution const& d : distributions(0.03))
    EXPECT_GE(coverage_after(40, d, confidence), confidence - 0.0034) << d.name;
}

/// A campaign ends when its interval is narrow enough: that must not make it miss more often.
TEST(Coverage, SurvivesThatACampaignStopsWhenTheIntervalIsNarrow) {
  RunOptions options;
  options.min_rounds = 10;
  options.max_rounds = 40;
  options.ci = 0.03;
  auto const narrow = [&](Interval const& i) { return i.holds() && i.relative_half_width() <= options.ci; };
  double least_with_looks = 1, least_without = 1;
  for (double const width : {0.02, 0.03, 0.045, 0.06}) {
    for (Distribution const& d : distributions(width)) {
      double const with_looks = coverage(
          d, kConfidence, options.max_rounds, [&](int n) { return is_look(n, options); }, narrow);
      double const without = coverage(
          d, kConfidence, options.max_rounds, [&](int n) { return n >= options.min_rounds; }, narrow);
      EXPECT_GE(with_looks, kConfidence - kChance) << d.name << ", width " << width;
      least_with_looks = std::min(least_with_looks, with_looks);
      least_without = std::min(least_without, without);
    }
  }
  EXPECT_GT(least_with_looks, least_without) << "looking after every round is why there are looks";
}

/// The same for two builds: the interval of their ratio is wider, since it is corrected for the number of
/// pairs, and it may take more rounds.
TEST(Coverage, OfARatioThatAPairIsClosedForIsWhatItsCorrectionAsksFor) {
  RunOptions options;
  options.min_rounds = 10;
  options.max_rounds = 80;
  options.ci = 0.02;
  for (int const pairs : {3, 14}) {
    double const miss = 0.05 / pairs;
    double const chance = 3 * std::sqrt(miss * (1 - miss) / kCampaigns);
    for (double const width : {0.015, 0.03}) {
      for (Distribution const& d : distributions(width)) {
        double const held = coverage(
            d, 1 - miss, options.max_rounds, [&](int n) { return is_look(n, options); },
            [&](Interval const& i) { return i.holds() && i.relative_half_width() <= options.ci; });
        // Where the median falls between two speeds, the narrow intervals are those that saw one of them
        // alone.
        double const looks = d.name == "two speeds" ? 2 : 1;
        EXPECT_LE(1 - held, looks * miss + chance) << d.name << ", " << pairs << " pairs, width " << width;
      }
    }
  }
}

TEST(Looks, AreAtTheLeastRoundsThenEverLessOftenAndAtTheMost) {
  RunOptions options;
  options.min_rounds = 10;
  options.max_rounds = 45;
  std::vector<int> looks;
  for (int n = 1; n <= 45; ++n)
    if (is_look(n, options)) looks.push_back(n);
  EXPECT_EQ(looks, (std::vector<int>{10, 14, 20, 28, 40, 45}));
  options.min_rounds = 1;
  EXPECT_FALSE(is_look(5, options)) << "no interval has fewer than 6 values";
  EXPECT_TRUE(is_look(6, options));
  options.max_rounds = 3;
  EXPECT_TRUE(is_look(3, options));
}

}  // namespace
}  // namespace tally
